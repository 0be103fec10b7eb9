//! Which answers make a server modern, legacy, or neither.

use std::sync::atomic::{AtomicBool, Ordering};

use http::Response;

use super::*;
use crate::client::Peer;
use crate::client::testing::{
    Body, DISCOVERED, INITIALIZED, Seen, Server, askable_hello, error, hello, json,
    legacy_handshake, reply, result, soon,
};

fn server() -> Arc<str> {
    "test".into()
}

async fn connect(
    answer: impl Fn(&Seen) -> Response<Body> + Send + Sync + 'static,
) -> Result<Peer, ClientError> {
    let server = Server::start(move |seen| match seen.method().as_str() {
        "server/discover" => answer(seen),
        _ => legacy_handshake(seen).unwrap_or_else(|| result(seen, "{}")),
    });
    server.await.connect(None).await
}

#[tokio::test]
async fn keeps_what_a_modern_server_says_of_itself() {
    let mut server = Server::start(|seen| result(seen, DISCOVERED)).await;
    let peer = server.connect(None).await.unwrap();
    let hello = peer.hello();
    assert_eq!(
        (hello.era, hello.version),
        (Era::Modern, Version::V2026_07_28)
    );
    assert_eq!(hello.capabilities.get(), r#"{"tools":{}}"#);
    assert_eq!(hello.server_info.as_ref().unwrap().get(), r#"{"name":"m"}"#);
    assert_eq!(hello.instructions.as_deref(), Some("be kind"));

    let seen = server.saw("server/discover").await;
    assert_eq!(seen.header("mcp-protocol-version"), Some("2026-07-28"));
    assert_eq!(seen.header("mcp-method"), Some("server/discover"));
    assert_eq!(
        seen.header("accept"),
        Some("application/json, text/event-stream")
    );
    let meta = crate::params::Params::of(&seen.message())
        .unwrap()
        .meta()
        .unwrap();
    assert_eq!(meta.protocol_version(), Some("2026-07-28"));
    assert_eq!(
        meta.client_info(),
        Some(r#"{"name":"gateway \"test\"","version":"1"}"#)
    );
    assert_eq!(meta.client_capabilities(), Some("{}"));
}

#[tokio::test]
async fn reads_for_how_long_and_for_whom_an_introduction_is() {
    for (hints, expected) in [
        (r#""ttlMs":7,"cacheScope":"public""#, (Some(7), true)),
        (r#""ttlMs":-1,"cacheScope":"private""#, (None, false)),
        (r#""ttlMs":null,"cacheScope":["public"]"#, (None, false)),
    ] {
        let discovered = DISCOVERED.replacen('{', &format!("{{{hints},"), 1);
        let peer = connect(move |seen| result(seen, &discovered))
            .await
            .unwrap();
        let hello = peer.hello();
        assert_eq!((hello.ttl_ms, hello.is_public), expected, "{hints}");
    }
}

#[tokio::test]
async fn falls_back_to_initialize_whatever_a_legacy_server_answers() {
    for variant in 0..9 {
        let peer = connect(move |seen| match variant {
            0 => error(400, "null", -32000, "Bad Request: Server not initialized"),
            1 => error(200, &seen.id(), -32601, "Method not found"),
            2 => error(200, &seen.id(), -32602, "Invalid request parameters"),
            3 => error(
                200,
                &seen.id(),
                -32022,
                "without the data of a modern server",
            ),
            4 => reply(404, "text/plain", "not found"),
            5 => reply(405, "text/html", "<h1>no</h1>"),
            6 => reply(200, "text/html", "<h1>welcome</h1>"),
            7 => json("not json at all"),
            _ => result(seen, r#"{"echo":true}"#),
        })
        .await
        .unwrap_or_else(|error| panic!("{variant}: {error}"));
        assert_eq!(peer.hello().era, Era::Legacy, "{variant}");
        assert_eq!(peer.hello().version, Version::V2025_06_18);
        assert_eq!(peer.hello().session_id.as_deref(), Some("s-1"));
        assert!(!format!("{peer:?}").contains("s-1"));
    }
}

#[tokio::test]
async fn completes_the_legacy_handshake_with_the_negotiated_version() {
    let mut server =
        Server::start(|seen| legacy_handshake(seen).unwrap_or_else(|| result(seen, "{}"))).await;
    let _peer = server.connect(Some(Era::Legacy)).await.unwrap();
    let opening = server.saw("initialize").await;
    assert_eq!(opening.header("mcp-protocol-version"), None);
    assert_eq!(opening.header("mcp-session-id"), None);
    assert!(
        opening.body.contains(r#""protocolVersion":"2025-11-25""#),
        "{}",
        opening.body
    );
    let then = server.saw("notifications/initialized").await;
    assert_eq!(then.header("mcp-protocol-version"), Some("2025-06-18"));
    assert_eq!(then.header("mcp-session-id"), Some("s-1"));
}

#[tokio::test]
async fn asks_a_legacy_server_for_the_version_and_capabilities_of_its_client() {
    for (asked, granted) in [
        (Version::V2025_03_26, Version::V2025_03_26),
        (Version::V2025_06_18, Version::V2025_06_18),
        (Version::V2025_11_25, Version::V2025_03_26),
        (Version::V2025_03_26, Version::V2024_11_05),
    ] {
        let mut server = Server::start(move |seen| match seen.method().as_str() {
            "initialize" => result(seen, &INITIALIZED.replace("2025-06-18", granted.as_str())),
            _ => legacy_handshake(seen).unwrap(),
        })
        .await;
        let hello = ClientHello {
            legacy_version: asked,
            ..askable_hello()
        };
        let peer = Peer::connect_http(server.endpoint(), hello, Some(Era::Legacy), soon());
        assert_eq!(peer.await.unwrap().hello().version, granted);
        let opening = server.saw("initialize").await;
        let params = opening.message().params().unwrap().to_owned();
        assert!(
            params.contains(&format!(r#""protocolVersion":"{asked}""#)),
            "{params}"
        );
        assert!(
            params.contains(r#""capabilities":{"sampling":{},"#),
            "{params}"
        );
        let then = server.saw("notifications/initialized").await;
        assert_eq!(then.header("mcp-protocol-version"), Some(granted.as_str()));
    }
}

#[tokio::test]
async fn does_not_take_an_unwell_or_closed_server_for_a_legacy_one() {
    for code in [401, 403, 429, 500, 502, 503] {
        for body in [
            "",
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"no"}}"#,
        ] {
            let error = connect(move |_| reply(code, "application/json", body))
                .await
                .unwrap_err();
            let ClientError::Status { status, .. } = error else {
                panic!("{code}: {error}")
            };
            assert_eq!(status.as_u16(), code);
        }
    }
}

#[tokio::test]
async fn fails_clearly_on_what_only_modern_servers_say() {
    for code in [-32020, -32021] {
        let error = connect(move |seen| error(400, &seen.id(), code, "no"))
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("refused server/discover: no"),
            "{error}"
        );
    }
    let unsupported = |seen: &Seen| {
        let data = r#"{"supported":["2031-01-01"],"requested":"2026-07-28"}"#;
        let error = format!(r#"{{"code":-32022,"message":"m","data":{data}}}"#);
        let body = format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, seen.id());
        reply(400, "application/json", body)
    };
    let error = connect(unsupported).await.unwrap_err();
    assert!(error.to_string().contains("offers 2031-01-01"), "{error}");
}

#[tokio::test]
async fn asks_again_who_refuses_a_version_that_it_serves() {
    let refusal = |seen: &Seen| {
        let data = r#"{"supported":["2026-07-28"],"requested":"2026-07-28"}"#;
        let error = format!(r#"{{"code":-32022,"message":"m","data":{data}}}"#);
        let body = format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, seen.id());
        reply(400, "application/json", body)
    };
    let refuses = AtomicBool::new(true);
    let peer = connect(move |seen| match refuses.swap(false, Ordering::Relaxed) {
        true => refusal(seen),
        false => result(seen, DISCOVERED),
    });
    assert_eq!(peer.await.unwrap().hello().version, Version::V2026_07_28);
    let error = connect(refusal).await.unwrap_err();
    assert!(matches!(error, ClientError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn does_not_fall_back_when_the_era_is_given() {
    let server = Server::start(|seen| legacy_handshake(seen).unwrap()).await;
    let outcome = server.connect(Some(Era::Modern)).await;
    assert!(
        matches!(outcome, Err(ClientError::NotModern { .. })),
        "{outcome:?}"
    );
    let server = Server::start(|seen| match seen.method().as_str() {
        "initialize" => error(400, &seen.id(), -32601, "speak 2026-07-28"),
        _ => result(seen, DISCOVERED),
    })
    .await;
    let error = server.connect(Some(Era::Legacy)).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("refused initialize: speak 2026-07-28"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_offers_legacy_versions_only_is_initialized() {
    let peer = connect(|seen| {
        result(
            seen,
            r#"{"supportedVersions":["2025-11-25","1.0"],"capabilities":{}}"#,
        )
    })
    .await
    .unwrap();
    assert_eq!(peer.hello().era, Era::Legacy);
}

#[tokio::test]
async fn refuses_an_answer_to_initialize_that_is_of_no_legacy_version() {
    let server =
        Server::start(|seen| result(seen, &INITIALIZED.replace("2025-06-18", "2026-07-28"))).await;
    let endpoint = server.endpoint();
    let error = Peer::connect_http(endpoint, hello(), Some(Era::Legacy), soon())
        .await
        .unwrap_err();
    assert!(
        matches!(error, ClientError::NoCommonVersion { .. }),
        "{error}"
    );
}

#[test]
fn an_unreadable_discovery_is_no_discovery() {
    for result in [
        "{}",
        "[]",
        "null",
        r#"{"supportedVersions":"2026-07-28","capabilities":{}}"#,
    ] {
        let finding = judge_result(&server(), result).unwrap();
        assert!(matches!(finding, Finding::Legacy { .. }), "{result}");
    }
}
