//! Who shares sessions at a server over HTTP, and with whose credential each is made.

use anyhow::{Context as _, Result};
use gateway_tests::fixture::{AnswerForm, Eras, HttpFixture, Options};
use gateway_tests::principals::{ADA, BOB, config, open, start, store};
use gateway_tests::secrets::{named, secret};
use gateway_tests::servers::{remote, with};
use gateway_tests::{Era, Session, wait};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// The code of a request for which a credential is missing or not accepted.
const CREDENTIALS_REQUIRED: i64 = 1006;

/// A server as GitHub's is: nothing without a token of the user's own.
async fn wants_tokens(eras: Eras) -> Result<HttpFixture> {
    let tokens = ["ada-1", "ada-2", "bob-1", "team"];
    HttpFixture::start(Options {
        era: eras,
        sessions: true,
        answer: AnswerForm::Sse,
        bearers: tokens.map(secret).to_vec(),
        names_tokens: true,
        ..Options::default()
    })
    .await
}

fn web(server: &HttpFixture) -> Value {
    with(remote(&server.url()), "credentials", "required")
}

/// What the server knows of who calls.
async fn whoami(session: &Session) -> Result<Value> {
    session.call_structured("whoami", json!({})).await
}

async fn authorization(session: &Session) -> Result<Value> {
    let seen = whoami(session).await?;
    let sent = seen.pointer("/headers/authorization");
    Ok(sent.cloned().unwrap_or_default())
}

/// How the server says that it was sent the secret of this name.
fn bearer(name: &str) -> String {
    named(&format!("Bearer {}", secret(name)))
}

async fn wait_for_sessions(server: &HttpFixture, count: usize) -> Result<()> {
    let what = format!("{count} sessions");
    wait::until(&what, || async { server.sessions().await == count }).await
}

#[tokio::test]
async fn without_a_credential_nothing_is_forwarded_and_how_to_store_one_is_said() -> Result<()> {
    let server = wants_tokens(Eras::Both).await?;
    let gateway = start(BINARY, "web", web(&server), &[("bob", "bob-1")]).await?;
    for era in Era::BOTH {
        let ada = open(&gateway, era, ADA).await?;
        for answer in [
            ada.call("echo", json!({})).await?,
            ada.request("tools/list", json!({})).await?,
        ] {
            let said = answer.text();
            assert_eq!(answer.error_code()?, CREDENTIALS_REQUIRED, "{said}");
            let command = "mcp-gateway credential set web --user ada";
            assert!(said.contains(command), "{said}");
        }
    }
    assert_eq!(server.seen().await.len(), 0, "nothing came");
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_credential_is_used_as_soon_as_it_is_stored() -> Result<()> {
    let server = wants_tokens(Eras::Both).await?;
    let gateway = start(BINARY, "web", web(&server), &[]).await?;
    for era in Era::BOTH {
        let ada = open(&gateway, era, ADA).await?;
        store(&gateway.workspace, &[])?;
        let refused = ada.call("echo", json!({})).await?;
        assert_eq!(refused.error_code()?, CREDENTIALS_REQUIRED);
        for token in ["ada-1", "ada-2"] {
            store(&gateway.workspace, &[("ada", token)])?;
            assert_eq!(authorization(&ada).await?, bearer(token));
            assert!(ada.tool_names().await?.contains(&format!("of-{token}")));
        }
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_changed_credential_opens_new_sessions_and_ends_the_old() -> Result<()> {
    let server = wants_tokens(Eras::Legacy).await?;
    let gateway = start(BINARY, "web", web(&server), &[("ada", "ada-1")]).await?;
    let ada = open(&gateway, Era::Legacy, ADA).await?;
    whoami(&ada).await?;
    let old = server.session_ids().await;
    assert_eq!(old.len(), 2, "one for lists, one for the client's session");
    store(&gateway.workspace, &[("ada", "ada-2")])?;
    assert_eq!(authorization(&ada).await?, bearer("ada-2"));
    wait::until("the old sessions to end", || async {
        let open = server.session_ids().await;
        open.len() == 2 && !open.iter().any(|id| old.contains(id))
    })
    .await?;
    let seen = server.seen().await;
    let ends = seen.iter().filter(|seen| seen.method == "DELETE");
    let tokens: Vec<_> = ends
        .filter_map(|seen| Some(named(seen.headers["authorization"].to_str().ok()?)))
        .collect();
    assert_eq!(
        tokens,
        [bearer("ada-1"), bearer("ada-1")],
        "each ends with its own"
    );
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn all_that_is_sent_in_a_session_carries_its_users_credential_and_no_key() -> Result<()> {
    let server = wants_tokens(Eras::Legacy).await?;
    let stored = [("ada", "ada-1"), ("bob", "bob-1")];
    let gateway = start(BINARY, "web", web(&server), &stored).await?;
    for (user, token) in [(ADA, "ada-1"), (BOB, "bob-1")] {
        let session = open(&gateway, Era::Legacy, user).await?;
        let before = server.seen().await.len();
        assert_eq!(authorization(&session).await?, bearer(token));
        session.delete().await?;
        wait_for_sessions(&server, 1).await?;
        let seen = server.seen().await.split_off(before);
        let methods: Vec<_> = seen.iter().map(|seen| seen.method.as_str()).collect();
        for method in [
            "initialize",
            "notifications/initialized",
            "tools/call",
            "GET",
            "DELETE",
        ] {
            assert!(methods.contains(&method), "{method} is not in {methods:?}");
        }
        for seen in seen {
            let sent = seen.headers.get("authorization").context("a token")?;
            assert_eq!(named(sent.to_str()?), bearer(token), "{}", seen.method);
            assert!(!format!("{:?}", seen.headers).contains("mgk_"));
        }
        // The one for lists ends with the server, so that the next user finds none.
        gateway.apply_config(&config(json!({}))).await?;
        wait_for_sessions(&server, 0).await?;
        gateway
            .apply_config(&config(json!({ "web": web(&server) })))
            .await?;
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_servers_session_ids_never_leave() -> Result<()> {
    let server = wants_tokens(Eras::Legacy).await?;
    let gateway = start(BINARY, "web", web(&server), &[("ada", "ada-1")]).await?;
    for era in Era::BOTH {
        let ada = open(&gateway, era, ADA).await?;
        let mut said = Vec::new();
        for (method, params) in [
            ("tools/call", json!({ "name": "echo", "arguments": {} })),
            ("tools/list", json!({})),
        ] {
            let answer = ada.request(method, params).await?;
            said.push(format!("{:?} {}", answer.headers, answer.text()));
        }
        let ids = server.session_ids().await;
        assert!(!ids.is_empty());
        for (id, said) in ids
            .iter()
            .flat_map(|id| said.iter().map(move |said| (id, said)))
        {
            assert!(!said.contains(id.as_str()), "{said}");
        }
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn one_users_refused_credential_harms_nobody_else() -> Result<()> {
    let server = wants_tokens(Eras::Both).await?;
    let stored = [("ada", "ada-1"), ("bob", "bob-1")];
    let gateway = start(BINARY, "web", web(&server), &stored).await?;
    for era in Era::BOTH {
        store(&gateway.workspace, &stored)?;
        let ada = open(&gateway, era, ADA).await?;
        let bob = open(&gateway, era, BOB).await?;
        if era == Era::Legacy {
            whoami(&ada).await?;
        }
        server.revoke(&secret("ada-1")).await;
        for answer in [
            ada.call("echo", json!({})).await?,
            ada.request("tools/list", json!({})).await?,
        ] {
            let said = answer.text();
            assert_eq!(answer.status, 200, "the client's own key is good");
            assert_eq!(answer.error_code()?, CREDENTIALS_REQUIRED, "{said}");
            for part in [
                "`web`",
                "status 401",
                "mcp-gateway credential set web --user ada",
            ] {
                assert!(said.contains(part), "{said}");
            }
            assert_eq!(authorization(&bob).await?, bearer("bob-1"));
        }
        store(&gateway.workspace, &[("ada", "ada-2"), ("bob", "bob-1")])?;
        assert_eq!(authorization(&ada).await?, bearer("ada-2"));
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn nobody_is_shown_another_users_list() -> Result<()> {
    let server = wants_tokens(Eras::Both).await?;
    let stored = [("ada", "ada-1"), ("bob", "bob-1")];
    let gateway = start(BINARY, "web", web(&server), &stored).await?;
    for era in Era::BOTH {
        let (ada, bob) = (
            open(&gateway, era, ADA).await?,
            open(&gateway, era, BOB).await?,
        );
        for _ in 0..3 {
            let (of_ada, of_bob) = tokio::try_join!(ada.tool_names(), bob.tool_names())?;
            let own = |names: &[String]| -> Vec<String> {
                names
                    .iter()
                    .filter(|name| name.starts_with("of-"))
                    .cloned()
                    .collect()
            };
            assert_eq!(own(&of_ada), ["of-ada-1"]);
            assert_eq!(own(&of_bob), ["of-bob-1"]);
        }
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn where_they_share_users_with_one_credential_have_one_session() -> Result<()> {
    let server = wants_tokens(Eras::Legacy).await?;
    let shared = with(web(&server), "isolation", "shared");
    let stored = [("ada", "team"), ("bob", "team")];
    let gateway = start(BINARY, "web", shared, &stored).await?;
    for user in [ADA, BOB] {
        let session = open(&gateway, Era::Legacy, user).await?;
        assert_eq!(authorization(&session).await?, bearer("team"));
    }
    assert_eq!(server.sessions().await, 1);
    store(&gateway.workspace, &[("ada", "ada-1"), ("bob", "team")])?;
    let ada = open(&gateway, Era::Legacy, ADA).await?;
    assert_eq!(authorization(&ada).await?, bearer("ada-1"));
    assert_eq!(server.sessions().await, 2);
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_optional_credential_goes_along_where_there_is_one() -> Result<()> {
    let options = Options {
        sessions: true,
        ..Options::default()
    };
    let server = HttpFixture::start(options).await?;
    let optional = with(remote(&server.url()), "credentials", "optional");
    let gateway = start(BINARY, "web", optional, &[("ada", "ada-1")]).await?;
    for era in Era::BOTH {
        let (ada, bob) = (
            open(&gateway, era, ADA).await?,
            open(&gateway, era, BOB).await?,
        );
        assert_eq!(authorization(&ada).await?, bearer("ada-1"));
        assert_eq!(authorization(&bob).await?, Value::Null);
        assert!(bob.tool_names().await?.contains(&"whoami".to_owned()));
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_server_that_wants_an_optional_credential_all_the_same_says_so() -> Result<()> {
    let server = wants_tokens(Eras::Both).await?;
    let optional = with(remote(&server.url()), "credentials", "optional");
    let gateway = start(BINARY, "web", optional, &[("ada", "ada-1")]).await?;
    for era in Era::BOTH {
        let refused = open(&gateway, era, BOB)
            .await?
            .call("echo", json!({}))
            .await?;
        assert_eq!(
            refused.error_code()?,
            CREDENTIALS_REQUIRED,
            "{}",
            refused.text()
        );
        assert!(refused.text().contains("credential set web --user bob"));
    }
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_given_no_credential_and_wants_one_is_down_for_that_reason() -> Result<()>
{
    let server = wants_tokens(Eras::Both).await?;
    let gateway = start(BINARY, "web", remote(&server.url()), &[("ada", "ada-1")]).await?;
    let ada = open(&gateway, Era::Modern, ADA).await?;
    let refused = ada.call("echo", json!({})).await?;
    let said = refused.text();
    for part in ["status 401", "`credentials: required`", "`auth`"] {
        assert!(said.contains(part), "{said}");
    }
    gateway.stop().await?;
    Ok(())
}
