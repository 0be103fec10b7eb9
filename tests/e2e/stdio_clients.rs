//! Every official client in every mode starts the gateway itself, or a bridge to one that runs, and does there
//! whatever it does over HTTP.

use anyhow::Result;
use gateway_tests::clients::OfficialClient;
use gateway_tests::fixture::Eras;
use gateway_tests::matrix::{Subject, Transport, meet_by};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// One test for each client, all of them by one transport at one server.
macro_rules! clients_meet {
    ($server:ident, $transport:ident, $subject:expr) => {
        mod $server {
            use super::*;

            tests_of! { $transport, $subject;
                typescript_1: TS_V1,
                typescript_2_as_a_legacy_client: TS_V2_LEGACY,
                typescript_2_when_it_asks_for_the_era: TS_V2_AUTO,
                typescript_2_as_a_modern_client: TS_V2_PINNED,
                python_as_a_legacy_client: PYTHON_LEGACY,
                python_when_it_asks_for_the_era: PYTHON_AUTO,
                python_as_a_modern_client: PYTHON_PINNED,
            }
        }
    };
}

macro_rules! tests_of {
    ($transport:ident, $subject:expr; $($name:ident: $client:ident,)+) => {
        $(
            #[tokio::test]
            async fn $name() -> Result<()> {
                meet_by(Transport::$transport, BINARY, OfficialClient::$client, $subject).await
            }
        )+
    };
}

clients_meet!(a_legacy_server, Stdio, Subject::Fixture(Eras::Legacy));
clients_meet!(a_modern_server, Stdio, Subject::Fixture(Eras::Modern));
clients_meet!(everything_by_a_bridge, Bridge, Subject::EverythingOnStdio);
clients_meet!(
    a_server_of_both_eras_by_a_bridge,
    Bridge,
    Subject::Fixture(Eras::Both)
);
