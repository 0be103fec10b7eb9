//! nginx as a plain reverse proxy in front of the benchmark's server: what every ratio is a ratio to.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::wait;

/// Ends when dropped.
#[derive(Debug)]
pub struct Nginx {
    pub address: SocketAddr,
    pub(super) process: u32,
    child: Child,
    /// Its configuration and temporary files.
    _directory: TempDir,
}

impl Nginx {
    /// `None` where it is not installed.
    pub async fn start(server: SocketAddr) -> anyhow::Result<Option<Self>> {
        let found = Command::new("nginx").arg("-v").output().await;
        if found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
            return Ok(None);
        }
        // It does not say which port it was given, so a free one is chosen for it. Until it listens, somebody else
        // may have it.
        for _ in 0..5 {
            let mut nginx = Self::try_start(server).await?;
            if nginx.is_listening().await? {
                return Ok(Some(nginx));
            }
        }
        bail!("nginx does not start: run it with the configuration in tests/src/bench/nginx.rs")
    }

    async fn try_start(server: SocketAddr) -> anyhow::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let directory = tempfile::Builder::new()
            .prefix("gateway-bench-")
            .tempdir()?;
        let path = directory.path().display().to_string();
        let file = directory.path().join("nginx.conf");
        fs::write(&file, configuration(&path, address, server))?;
        let child = Command::new("nginx")
            .arg("-p")
            .arg(directory.path())
            .arg("-c")
            .arg(&file)
            .args(["-e", "stderr"])
            .stdin(Stdio::null())
            .kill_on_drop(false)
            .spawn()
            .context("starting nginx")?;
        Ok(Self {
            address,
            process: child.id().context("nginx ended at once")?,
            child,
            _directory: directory,
        })
    }

    async fn is_listening(&mut self) -> anyhow::Result<bool> {
        let address = self.address;
        let child = &mut self.child;
        wait::until_some("nginx to listen", || {
            let ended = child.try_wait().is_ok_and(|status| status.is_some());
            async move {
                if ended {
                    return Some(false);
                }
                TcpStream::connect(address).await.is_ok().then_some(true)
            }
        })
        .await
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Killed without notice it would leave its worker behind; on SIGTERM it takes it along.
        let id = i32::try_from(self.process).ok();
        if let Some(id) = id.and_then(rustix::process::Pid::from_raw)
            && self.child.try_wait().is_ok_and(|status| status.is_none())
        {
            rustix::process::kill_process(id, rustix::process::Signal::TERM).ok();
        }
    }
}

/// One worker; connections on both sides stay open, and answers of 64 KiB fit into its buffers.
fn configuration(directory: &str, listen: SocketAddr, server: SocketAddr) -> String {
    format!(
        "daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {directory}/pid;
error_log stderr error;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_requests 1000000000;
    proxy_buffer_size 16k;
    proxy_buffers 16 16k;
    tcp_nodelay on;
    upstream server {{
        server {server};
        keepalive 1024;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {listen} backlog=4096;
        location / {{
            proxy_pass http://server;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
        }}
    }}
}}
"
    )
}
