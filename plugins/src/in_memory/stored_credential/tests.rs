//! What each kind of server gets, and what is said of wrong settings.

use std::time::Duration;

use gateway_core::{Deadline, RequestId, TenantId, UserId};
use serde_json::json;

use super::*;
use crate::in_memory::Memory;

fn settings(value: serde_json::Value) -> Settings {
    serde_json::from_value(value).unwrap()
}

fn context() -> CallContext {
    let deadline = Deadline::after(Duration::from_secs(60));
    CallContext::new(TenantId::default(), deadline, RequestId::new("r1"))
}

/// What the proxy sets for `ada` at the server `github`, whose credentials are `t` and `k`.
async fn injected(injecting: Injecting, target_url: &str) -> Result<(String, String), PluginError> {
    let storage = Memory::default();
    let user: UserId = "ada".parse().unwrap();
    for (credential_type, value) in [("bearer", "t"), ("api_key", "k")] {
        let key = CredentialKey {
            user_id: user.clone(),
            server: "github".into(),
            credential_type: credential_type.into(),
        };
        storage
            .store(&context(), &key, SecretString::from(value))
            .await
            .unwrap();
    }
    let proxy = StoredCredential::new(injecting, Arc::new(storage));
    let server = "github".parse().unwrap();
    let request = ProxyRequest {
        user_id: &user,
        server: &server,
        target_url,
        method: "POST",
        headers: &[],
        body: "{}",
    };
    let mut injection = proxy.inject_credentials(&context(), request).await?;
    assert!(injection.body.is_none());
    let (name, value) = injection.headers.remove(0);
    Ok((name, value.expose_secret().to_owned()))
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[tokio::test]
async fn a_server_over_http_gets_a_header() {
    let url = "https://github.example/mcp";
    let bearer = Injecting::bearer(&Settings::default()).unwrap();
    assert_eq!(
        injected(bearer, url).await.unwrap(),
        pair("authorization", "Bearer t")
    );
    let header = settings(json!({ "header": "X-API-Key", "credential_type": "api_key" }));
    let header = Injecting::header(&header).unwrap();
    assert_eq!(injected(header, url).await.unwrap(), pair("x-api-key", "k"));
}

#[tokio::test]
async fn a_child_gets_a_variable_with_the_bare_value() {
    let url = "stdio:github";
    let variables = json!({ "github": "GITHUB_TOKEN" });
    let bearer = settings(json!({ "variables": variables }));
    let bearer = Injecting::bearer(&bearer).unwrap();
    assert_eq!(
        injected(bearer, url).await.unwrap(),
        pair("GITHUB_TOKEN", "t")
    );
    let header = json!({ "header": "X-API-Key", "credential_type": "api_key" });
    let header = Injecting::header(&settings(header)).unwrap();
    assert_eq!(injected(header, url).await.unwrap(), pair("X_API_KEY", "k"));
    let bearer = Injecting::bearer(&Settings::default()).unwrap();
    let error = injected(bearer, url).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    insta::assert_snapshot!(error, @"server `github` is a child process, which takes its credential from an environment variable: name it at `plugins.auth_proxy.settings.variables.github`");
}

#[test]
fn wrong_settings_are_named() {
    let said = |injecting: Result<Injecting, Vec<Violation>>| {
        let violations = injecting.unwrap_err().into_iter();
        let lines = violations.map(|v| format!("{}: {}", v.path, v.reason));
        lines.collect::<Vec<_>>().join("\n")
    };
    let bearer = |value| said(Injecting::bearer(&settings(value)));
    let header = |value| said(Injecting::header(&settings(value)));
    insta::assert_snapshot!(bearer(json!({ "variables": { "github": "A-B", "x": "1A", "y": "" } })), @r"
    variables.github: `A-B` is no name of an environment variable
    variables.x: `1A` is no name of an environment variable
    variables.y: `` is no name of an environment variable
    ");
    insta::assert_snapshot!(bearer(json!({ "variables": { "Git Hub": "A" } })), @"variables.Git Hub: `Git Hub` is not a valid server name: use 1 to 31 lower-case letters, digits and hyphens, beginning with a letter");
    insta::assert_snapshot!(header(json!({ "header": "Host", "credential_type": "" })), @r"
    header: `Host` is the gateway's own to set
    credential_type: is empty
    ");
    insta::assert_snapshot!(header(json!({ "header": "x" })), @": missing field `credential_type`");
}
