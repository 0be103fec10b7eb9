//! The one connector for outgoing connections: it resolves, checks the address, connects, and
//! has TLS spoken for `https`.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
#[cfg(unix)]
use std::path::Path;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

use super::network::{NetworkPolicy, NetworkRule};
#[cfg(unix)]
use super::socket::SocketDialer;
use super::tls::{InvalidTls, TlsDialer, TlsMaterial};

/// How long one address may take to accept a connection before the next one is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long nothing may come before the other end is asked whether it is there, and how often, and
/// in what steps, until it is taken for gone: a minute after it has vanished without a word.
const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEP_ALIVE_STEP: Duration = Duration::from_secs(10);
const KEEP_ALIVE_PROBES: u32 = 3;

pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// Opens outgoing connections, to addresses that the network policy permits only. Cheap to clone;
/// clones share policy and TLS roots.
#[derive(Clone)]
pub struct Connector {
    network: TlsDialer,
    policy: Arc<NetworkPolicy>,
}

impl Connector {
    /// A connector that trusts the certificate authorities of the operating system.
    pub fn new(policy: NetworkPolicy) -> Result<Self, rustls::Error> {
        let policy = Arc::new(policy);
        let dialer = Dialer {
            policy: Arc::clone(&policy),
        };
        let network = TlsDialer::new(dialer)?;
        Ok(Self { network, policy })
    }

    /// The same for servers whom other authorities have signed, or who ask for a certificate.
    pub fn with_tls(&self, material: TlsMaterial<'_>) -> Result<Self, InvalidTls> {
        Ok(Self {
            network: self.network.with(material)?,
            policy: Arc::clone(&self.policy),
        })
    }

    pub(super) fn service(&self) -> TlsDialer {
        self.network.clone()
    }

    /// What opens connections to a unix socket, where the policy lets it.
    #[cfg(unix)]
    pub(super) fn socket(&self, path: &Path) -> Result<SocketDialer, NetworkRule> {
        let sockets = self.policy.sockets();
        sockets.check(path)?;
        Ok(SocketDialer::new(path, sockets.clone()))
    }

    /// Whether a URL leads to an address that is not permitted, as far as that can be said before its
    /// host is resolved.
    pub(super) fn check(&self, url: &Uri) -> Result<(), NetworkRule> {
        let Some(host) = url.host() else {
            return Ok(());
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let address = match host.parse() {
            Ok(address) => address,
            Err(_) if host.eq_ignore_ascii_case("localhost") => Ipv4Addr::LOCALHOST.into(),
            Err(_) => return Ok(()),
        };
        self.policy.check(SocketAddr::new(address, port_of(url)))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("connecting to {host} ({address}) is not permitted: {rule}")]
    Refused {
        host: String,
        address: IpAddr,
        rule: NetworkRule,
    },
    #[error("cannot resolve {host}")]
    Resolve { host: String, source: io::Error },
    #[error("{host} has no address")]
    NoAddress { host: String },
    #[error("cannot connect to {address}")]
    Connect {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("{address} did not answer within {} s", CONNECT_TIMEOUT.as_secs())]
    TimedOut { address: SocketAddr },
    #[error("the address {0} names no host")]
    NoHost(Uri),
    #[error("cannot connect to the socket {}", path.display())]
    Socket { path: PathBuf, source: io::Error },
}

/// Opens TCP connections to permitted addresses.
#[derive(Debug, Clone)]
pub(super) struct Dialer {
    policy: Arc<NetworkPolicy>,
}

impl Dialer {
    async fn dial(self, uri: Uri) -> Result<TcpStream, ConnectError> {
        let Some(host) = uri.host() else {
            return Err(ConnectError::NoHost(uri));
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let addresses = tokio::net::lookup_host((host, port_of(&uri)))
            .await
            .map_err(|source| ConnectError::Resolve {
                host: host.to_owned(),
                source,
            })?;
        self.reach(host, addresses).await
    }

    /// Connects to the first of these addresses that is permitted and answers.
    ///
    /// Checked at each connect and on what is then connected to, so that neither an odd spelling
    /// of an address nor a name whose answer changes gets past the policy.
    async fn reach(
        &self,
        host: &str,
        addresses: impl Iterator<Item = SocketAddr>,
    ) -> Result<TcpStream, ConnectError> {
        let mut last = ConnectError::NoAddress {
            host: host.to_owned(),
        };
        for address in addresses {
            let attempt = match self.policy.check(address) {
                Ok(()) => connect(address).await,
                Err(rule) => {
                    let host = host.to_owned();
                    Err(ConnectError::Refused {
                        host,
                        address: address.ip(),
                        rule,
                    })
                }
            };
            match attempt {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

fn port_of(url: &Uri) -> u16 {
    let usual = match url.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    url.port_u16().unwrap_or(usual)
}

async fn connect(address: SocketAddr) -> Result<TcpStream, ConnectError> {
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
        .await
        .map_err(|_| ConnectError::TimedOut { address })?
        .map_err(|source| ConnectError::Connect { address, source })?;
    prepare(&stream).map_err(|source| ConnectError::Connect { address, source })?;
    Ok(stream)
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    // Messages are small and somebody waits for each of them.
    stream.set_nodelay(true)?;
    // A stream may be silent for hours; only asking tells it from one whose other end is gone.
    let keep_alive = TcpKeepalive::new()
        .with_time(KEEP_ALIVE_IDLE)
        .with_interval(KEEP_ALIVE_STEP)
        .with_retries(KEEP_ALIVE_PROBES);
    SockRef::from(stream).set_tcp_keepalive(&keep_alive)
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialer = self.clone();
        Box::pin(async move { Ok(TokioIo::new(dialer.dial(uri).await?)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn dial(policy: NetworkPolicy, uri: &str) -> Result<TcpStream, ConnectError> {
        Dialer {
            policy: Arc::new(policy),
        }
        .dial(uri.parse().unwrap())
        .await
    }

    #[tokio::test]
    async fn refuses_every_spelling_of_a_forbidden_address() {
        for uri in [
            "http://169.254.169.254/latest",
            "http://2852039166/latest",
            "http://0251.0376.0251.0376/latest",
            "http://0xa9fea9fe/latest",
            "http://[::ffff:169.254.169.254]/latest",
            "http://[::ffff:a9fe:a9fe]/latest",
        ] {
            let error = dial(NetworkPolicy::desktop(), uri).await.unwrap_err();
            let ConnectError::Refused { rule, .. } = error else {
                panic!("{uri}: {error}")
            };
            assert_eq!(rule, NetworkRule::LinkLocal, "{uri}");
        }
    }

    #[tokio::test]
    async fn refuses_a_name_that_resolves_to_a_forbidden_address() {
        let policy = NetworkPolicy::public_only(Vec::new());
        let error = dial(policy, "http://localhost:9/")
            .await
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("connecting to localhost ("), "{error}");
        assert!(
            error.contains("loopback addresses are only reached in permitted"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn refuses_a_name_whose_answer_changes_to_a_forbidden_address() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let metadata = SocketAddr::from(([169, 254, 169, 254], good.port()));
        let dialer = Dialer {
            policy: Arc::new(NetworkPolicy::desktop()),
        };
        let reach = async |addresses: &[SocketAddr]| {
            let stream = dialer
                .reach("rebound.example", addresses.iter().copied())
                .await?;
            Ok::<_, ConnectError>(stream.peer_addr().unwrap())
        };
        assert_eq!(reach(&[good]).await.unwrap(), good);
        let error = reach(&[metadata]).await.unwrap_err().to_string();
        assert!(
            error.starts_with("connecting to rebound.example (169.254.169.254) is not permitted"),
            "{error}"
        );
        // Beside a permitted address it is passed over, not tried.
        assert_eq!(reach(&[metadata, good]).await.unwrap(), good);
    }

    #[tokio::test]
    async fn notices_a_peer_that_is_gone_without_a_word() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/", listener.local_addr().unwrap());
        let stream = dial(NetworkPolicy::desktop(), &uri).await.unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEP_ALIVE_IDLE);
    }

    #[tokio::test]
    async fn connects_to_a_permitted_address() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let uri = format!("http://{address}/");
        assert!(dial(NetworkPolicy::desktop(), &uri).await.is_ok());
        let permitted = NetworkPolicy::public_only(vec!["127.0.0.0/8".parse().unwrap()]);
        assert!(dial(permitted, &uri).await.is_ok());
    }
}
