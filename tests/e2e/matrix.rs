//! Every official client in every mode meets every kind of server, through `/mcp` and through `/s/SERVER/mcp`.

use anyhow::Result;
use gateway_tests::clients::OfficialClient;
use gateway_tests::fixture::Eras;
use gateway_tests::matrix::{Subject, meet};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// One test for each client that stays connected, all of them at one server.
macro_rules! clients_meet {
    ($server:ident, $subject:expr) => {
        mod $server {
            use super::*;

            tests_of! { $subject;
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

/// The same for the one that connects anew for every request.
macro_rules! inspector_meets {
    ($server:ident, $subject:expr) => {
        mod $server {
            use super::*;

            tests_of! { $subject;
                inspector_as_a_legacy_client: INSPECTOR_LEGACY,
                inspector_when_it_asks_for_the_era: INSPECTOR_AUTO,
                inspector_as_a_modern_client: INSPECTOR_MODERN,
            }
        }
    };
}

macro_rules! tests_of {
    ($subject:expr; $($name:ident: $client:ident,)+) => {
        $(
            #[tokio::test]
            async fn $name() -> Result<()> {
                meet(BINARY, OfficialClient::$client, $subject).await
            }
        )+
    };
}

clients_meet!(everything_over_http, Subject::EverythingOverHttp);
clients_meet!(everything_on_stdio, Subject::EverythingOnStdio);
clients_meet!(a_legacy_server, Subject::Fixture(Eras::Legacy));
clients_meet!(a_modern_server, Subject::Fixture(Eras::Modern));
clients_meet!(a_server_of_both_eras, Subject::Fixture(Eras::Both));

mod briefly {
    use super::*;

    inspector_meets!(everything, Subject::EverythingOverHttp);
    inspector_meets!(a_legacy_server, Subject::Fixture(Eras::Legacy));
    inspector_meets!(a_modern_server, Subject::Fixture(Eras::Modern));
}
