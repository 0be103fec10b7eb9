//! What the checked plugin was set up with: without it nobody can say which credential is good or
//! which action is allowed.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use gateway_core::config::{SecretRef, ServerSpec, Setting};
use gateway_core::plugin::ItemKind;
use gateway_core::{Credential, Principal, SecretString, ServerName, UserId};
use gateway_plugins::suite::{
    Access, Accounts, Injections, Keeping, ProxyCall, ReadBack, Rules, Running, unique,
};
use serde::Deserialize;

use super::place::resolve;
use crate::exit::Failure;

/// The address of requests for credentials that are not sent anywhere.
const TARGET: &str = "https://suite.example/mcp";

const NO_USER: &str = "what stands before the first `:` is no user's name";
const NO_SERVER: &str = "what stands before the second `:` is no server's name";

#[derive(Debug, Args)]
pub(super) struct ExpectArgs {
    /// A file with what the plugin was set up with: the flags below, and more.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// A credential that is good, and whose it is. VALUE is `env:NAME`, `file:PATH`, or the value itself.
    #[arg(long, value_name = "TYPE=VALUE:USER")]
    accept: Vec<String>,

    /// A credential that is not good; a random API key is tried in any case.
    #[arg(long, value_name = "TYPE=VALUE")]
    reject: Vec<String>,

    /// The plugin takes everybody in, whatever they present.
    #[arg(long)]
    accepts_anything: bool,

    /// What a user may do: call a tool, or any of a server's.
    #[arg(long, value_name = "USER:SERVER[:TOOL]")]
    allow: Vec<String>,

    /// What a user may not do.
    #[arg(long, value_name = "USER:SERVER[:TOOL]")]
    deny: Vec<String>,

    /// A header that requests to a server get for a user.
    #[arg(long, value_name = "USER:SERVER:HEADER=VALUE")]
    inject: Vec<String>,

    /// The plugin stores no credential, and says so.
    #[arg(long)]
    keeps_nothing: bool,

    /// The file in which the plugin's audit events arrive, one JSON object a line, as they were sent.
    #[arg(long, value_name = "FILE")]
    audit_file: Option<PathBuf>,
}

/// The file of `-f`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Expectations {
    accept: Vec<Accepted>,
    reject: Vec<Rejected>,
    accepts_anything: bool,
    allow: Vec<Attempt>,
    deny: Vec<Attempt>,
    inject: Vec<Injected>,
    keeps_nothing: bool,
    audit_file: Option<PathBuf>,
    can_run: Option<ServerSpec>,
    cannot_run: Option<ServerSpec>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Accepted {
    #[serde(rename = "type")]
    credential_type: String,
    value: Setting,
    user: UserId,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rejected {
    #[serde(rename = "type")]
    credential_type: String,
    value: Setting,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Attempt {
    user: UserId,
    server: ServerName,
    #[serde(default)]
    tool: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    groups: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Injected {
    user: UserId,
    server: ServerName,
    header: String,
    value: Setting,
}

/// A value of the command line.
#[derive(Debug, Clone)]
struct Flag<T>(T);

/// What each trait's suite is told.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) accounts: Accounts,
    pub(super) rules: Rules,
    pub(super) injections: Injections,
    pub(super) keeping: Keeping,
    pub(super) read_back: Option<ReadBack>,
    pub(super) running: Running,
}

impl ExpectArgs {
    pub(super) fn expected(&self) -> Result<Expected, Failure> {
        let mut all = match &self.file {
            Some(file) => read(file)?,
            None => Expectations::default(),
        };
        all.accept.extend(given("--accept", &self.accept)?);
        all.reject.extend(given("--reject", &self.reject)?);
        all.allow.extend(given("--allow", &self.allow)?);
        all.deny.extend(given("--deny", &self.deny)?);
        all.inject.extend(given("--inject", &self.inject)?);
        let audit_file = self.audit_file.clone().or(all.audit_file.clone());
        let keeps_nothing = self.keeps_nothing || all.keeps_nothing;
        all.accepts_anything |= self.accepts_anything;
        Ok(Expected {
            accounts: all.accounts()?,
            injections: all.injections()?,
            rules: Rules {
                allowed: all.allow.iter().map(Attempt::access).collect(),
                denied: all.deny.iter().map(Attempt::access).collect(),
            },
            keeping: match keeps_nothing {
                true => Keeping::Nothing,
                false => Keeping::Everything,
            },
            // A file that is not there yet is one in which nothing has arrived.
            read_back: audit_file.map(|file| {
                ReadBack::new(move || std::fs::read_to_string(&file).unwrap_or_default())
            }),
            running: Running {
                possible: all.can_run,
                impossible: all.cannot_run,
            },
        })
    }
}

/// The values of a flag. Read here, because a message of the command line's own would repeat them.
fn given<T>(flag: &str, texts: &[String]) -> Result<Vec<T>, Failure>
where
    Flag<T>: FromStr<Err = &'static str>,
{
    let mut values = Vec::new();
    for text in texts {
        let read = text.parse::<Flag<T>>();
        let Flag(value) = read.map_err(|why| Failure::invalid(format!("{flag}: {why}")))?;
        values.push(value);
    }
    Ok(values)
}

fn read(file: &std::path::Path) -> Result<Expectations, Failure> {
    let shown = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::invalid(format!("{shown} cannot be read: {error}")))?;
    serde_yaml::from_str(&text).map_err(|error| Failure::invalid(format!("{shown}: {error}")))
}

impl Expectations {
    fn accounts(&self) -> Result<Accounts, Failure> {
        let mut accounts = Accounts::default();
        for accepted in &self.accept {
            let value = resolve("accept", &accepted.value)?;
            let credential = credential(&accepted.credential_type, value);
            accounts.accepted.push((credential, accepted.user.clone()));
        }
        for rejected in &self.reject {
            let value = resolve("reject", &rejected.value)?;
            let credential = credential(&rejected.credential_type, value);
            accounts.rejected.push(credential);
        }
        if !self.accepts_anything {
            let value = SecretString::from(unique("no-such-key"));
            accounts.rejected.push(credential("api_key", value));
        }
        Ok(accounts)
    }

    fn injections(&self) -> Result<Injections, Failure> {
        let nobody = unique("suite-user").parse();
        let server = "suite".parse();
        let (Ok(nobody), Ok(server)) = (nobody, server) else {
            return Err(Failure::Failed(anyhow::anyhow!(
                "the suite's own names are no names"
            )));
        };
        let mut injections = Injections {
            known: Vec::new(),
            unknown: proxy_call(&nobody, &server),
        };
        for injected in &self.inject {
            let value = resolve("inject", &injected.value)?;
            let header = (injected.header.clone(), value);
            let call = proxy_call(&injected.user, &injected.server);
            injections.known.push((call, vec![header]));
        }
        Ok(injections)
    }
}

impl Attempt {
    fn access(&self) -> Access {
        let mut principal = Principal::named(self.user.clone());
        principal.roles.clone_from(&self.roles);
        principal.groups.clone_from(&self.groups);
        Access {
            principal,
            server: self.server.clone(),
            method: "tools/call".to_owned(),
            kind: ItemKind::Tool,
            name: self.tool.clone().unwrap_or_else(|| "any-tool".to_owned()),
        }
    }
}

fn credential(credential_type: &str, value: SecretString) -> Credential {
    Credential {
        credential_type: credential_type.to_owned(),
        value,
    }
}

fn proxy_call(user: &UserId, server: &ServerName) -> ProxyCall {
    ProxyCall {
        user_id: user.clone(),
        server: server.clone(),
        target_url: TARGET.to_owned(),
        method: "POST".to_owned(),
        headers: vec![("accept".to_owned(), "application/json".to_owned())],
        body: r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#.to_owned(),
    }
}

/// `env:NAME`, `file:PATH`, or the value itself.
fn setting(text: &str) -> Setting {
    match text.split_once(':') {
        Some(("env", name)) => Setting::Secret(SecretRef::FromEnv(name.to_owned())),
        Some(("file", path)) => Setting::Secret(SecretRef::FromFile(path.into())),
        _ => Setting::Literal(text.to_owned()),
    }
}

impl FromStr for Flag<Accepted> {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('=').and_then(|(credential_type, rest)| {
            let (value, user) = rest.rsplit_once(':')?;
            Some((credential_type, value, user))
        });
        let (credential_type, value, user) = parts.ok_or("write it as TYPE=VALUE:USER")?;
        Ok(Self(Accepted {
            credential_type: credential_type.to_owned(),
            value: setting(value),
            user: user
                .parse()
                .map_err(|_| "what follows the last `:` is no user's name")?,
        }))
    }
}

impl FromStr for Flag<Rejected> {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (credential_type, value) = text.split_once('=').ok_or("write it as TYPE=VALUE")?;
        Ok(Self(Rejected {
            credential_type: credential_type.to_owned(),
            value: setting(value),
        }))
    }
}

impl FromStr for Flag<Attempt> {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, ':');
        let (Some(user), Some(server)) = (parts.next(), parts.next()) else {
            return Err("write it as USER:SERVER or USER:SERVER:TOOL");
        };
        Ok(Self(Attempt {
            user: user.parse().map_err(|_| NO_USER)?,
            server: server.parse().map_err(|_| NO_SERVER)?,
            tool: parts.next().map(str::to_owned),
            roles: Vec::new(),
            groups: Vec::new(),
        }))
    }
}

impl FromStr for Flag<Injected> {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, ':');
        let (user, server) = (parts.next(), parts.next());
        let header = parts.next().and_then(|header| header.split_once('='));
        let (Some(user), Some(server), Some((header, value))) = (user, server, header) else {
            return Err("write it as USER:SERVER:HEADER=VALUE");
        };
        Ok(Self(Injected {
            user: user.parse().map_err(|_| NO_USER)?,
            server: server.parse().map_err(|_| NO_SERVER)?,
            header: header.to_owned(),
            value: setting(value),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_from_both_ends() {
        let Flag(accepted): Flag<Accepted> = "api_key=env:KEY:ada@example.com".parse().unwrap();
        assert_eq!(accepted.credential_type, "api_key");
        assert_eq!(
            accepted.value,
            Setting::Secret(SecretRef::FromEnv("KEY".into()))
        );
        assert_eq!(accepted.user.as_str(), "ada@example.com");
        let Flag(rejected): Flag<Rejected> = "jwt=a=b:c".parse().unwrap();
        assert_eq!(rejected.value, Setting::Literal("a=b:c".into()));
        let Flag(attempt): Flag<Attempt> = "ada:files:read:x".parse().unwrap();
        assert_eq!(attempt.tool.as_deref(), Some("read:x"));
        let Flag(injected): Flag<Injected> = "ada:files:authorization=file:/a".parse().unwrap();
        assert_eq!(
            injected.value,
            Setting::Secret(SecretRef::FromFile("/a".into()))
        );
    }

    #[test]
    fn what_is_wrong_with_a_flag_is_said_without_its_value() {
        for error in [
            "hunter2".parse::<Flag<Accepted>>().unwrap_err(),
            "api_key=hunter2".parse::<Flag<Accepted>>().unwrap_err(),
            "hunter2".parse::<Flag<Rejected>>().unwrap_err(),
            "ada:files:hunter2".parse::<Flag<Injected>>().unwrap_err(),
        ] {
            assert!(
                error.contains("write it as") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_file_says_the_same_and_more() {
        let text = "
            accept: [{ type: api_key, value: { from_env: KEY }, user: ada }]
            allow: [{ user: ada, server: files, tool: read, roles: [admin] }]
            can_run: { type: command, command: cat }
        ";
        let read: Expectations = serde_yaml::from_str(text).unwrap();
        assert_eq!(read.allow.first().unwrap().roles, ["admin"]);
        assert!(read.can_run.is_some());
        assert!(serde_yaml::from_str::<Expectations>("acept: []").is_err());
    }
}
