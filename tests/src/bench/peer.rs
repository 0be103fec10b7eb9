//! Another gateway in the same run, started by whoever runs the benchmark.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::str::FromStr;

use anyhow::Context as _;

use super::load::Target;
use crate::session::{Era, Session};

/// `NAME=URL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peer {
    name: String,
    url: String,
    address: SocketAddr,
    path: String,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.url)
    }
}

impl FromStr for Peer {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (name, url) = text.split_once('=').context("it is not NAME=URL")?;
        let rest = url.strip_prefix("http://");
        let rest = rest.context("the URL does not begin with http://")?;
        let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
        let address = address.parse();
        Ok(Self {
            name: name.to_owned(),
            url: url.to_owned(),
            address: address.context("the URL does not name an IP address and a port")?,
            path: format!("/{path}"),
        })
    }
}

impl Peer {
    /// How to ask it in an era; an error where it does not answer in that one.
    pub(super) async fn target(&self, era: Era) -> anyhow::Result<Target> {
        let session = Session::open(era, &self.url).await?;
        let tools = session.tool_names().await?;
        let echo = tools.into_iter().find(|name| name.ends_with("echo"));
        Ok(Target {
            name: self.name.clone(),
            address: self.address,
            path: self.path.clone(),
            tools: vec![echo.context("it lists no tool whose name ends with `echo`")?],
            key: None,
            process: listener(self.address.port()),
        })
    }
}

/// The process that listens on a port, if that may be seen.
fn listener(port: u16) -> Option<u32> {
    let sockets: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .filter_map(|table| Some(format!("socket:[{}]", inode(&table, port)?)))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(|process| {
            let files = fs::read_dir(format!("/proc/{process}/fd"));
            let links = files.into_iter().flatten().flatten();
            links
                .filter_map(|file| fs::read_link(file.path()).ok())
                .any(|link| {
                    sockets
                        .iter()
                        .any(|socket| link.as_os_str() == socket.as_str())
                })
        })
}

/// Of the socket that listens on the port, by a table as `/proc/net/tcp` has it.
fn inode(table: &str, port: u16) -> Option<&str> {
    let local = format!(":{port:04X}");
    let mut lines = table.lines().map(|line| line.split_whitespace());
    lines.find_map(|mut fields| {
        let is_here = fields.nth(1)?.ends_with(&local);
        let is_listening = fields.nth(1)? == "0A";
        (is_here && is_listening).then(|| fields.nth(5)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_name_and_url() {
        let peer: Peer = "other=http://127.0.0.1:3000/s/one/mcp".parse().unwrap();
        assert_eq!(
            (peer.name.as_str(), peer.path.as_str()),
            ("other", "/s/one/mcp")
        );
        assert_eq!(peer.address.port(), 3000);
        for text in [
            "other",
            "other=https://127.0.0.1/",
            "other=http://localhost:1/",
        ] {
            assert!(text.parse::<Peer>().is_err(), "{text}");
        }
    }

    #[test]
    fn finds_the_listener_among_the_sockets() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0BB8 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 111 1 0 20
   1: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 222 1 0 100
";
        assert_eq!(inode(table, 3000), Some("222"));
        assert_eq!(inode(table, 3001), None);
    }

    #[test]
    fn finds_this_process_by_its_port() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert_eq!(listener(port), Some(std::process::id()));
    }
}
