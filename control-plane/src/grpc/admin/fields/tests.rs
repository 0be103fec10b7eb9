use gateway_proto::config::v1 as config;
use gateway_proto::config::v1::server_spec::Kind as Spec;
use prost_types::FieldMask;

use super::mask::merge;
use super::*;

fn server(timeout: Option<i64>, env: &[(&str, &str)]) -> pb::Server {
    let setting = |text: &&str| config::Setting {
        value: Some(config::setting::Value::Literal((*text).to_owned())),
    };
    let command = config::CommandServer {
        command: "npx".to_owned(),
        args: vec!["-y".to_owned(), "x".to_owned()],
        env: env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), setting(value)))
            .collect(),
        cwd: None,
    };
    pb::Server {
        name: "tenants/acme/servers/a".to_owned(),
        config: Some(config::ServerConfig {
            spec: Some(config::ServerSpec {
                kind: Some(Spec::Command(command)),
            }),
            timeout: timeout.map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn path(text: &str) -> Result<FieldPath, String> {
    FieldPath::read(&descriptor::<pb::Server>().unwrap(), text)
}

#[test]
fn every_listed_message_is_described() {
    named(&pb::Tenant::default()).unwrap();
    named(&pb::Revision::default()).unwrap();
    named(&pb::Replica::default()).unwrap();
    named(&pb::Profile::default()).unwrap();
    named(&pb::Plugin::default()).unwrap();
}

#[test]
fn values_are_found_by_the_names_of_their_fields() {
    let item = named(&server(Some(5), &[("KEY", "value")])).unwrap();
    let text = |text: &str| Scalar::Text(text.to_owned());
    for (at, values) in [
        ("name", vec![text("tenants/acme/servers/a")]),
        ("config.spec.command.command", vec![text("npx")]),
        ("config.spec.command.args", vec![text("-y"), text("x")]),
        ("config.spec.command.env.KEY.literal", vec![text("value")]),
        ("config.spec.command.env.OTHER.literal", vec![]),
        ("config.spec.command.cwd", vec![]),
        ("config.spec.remote.endpoint", vec![]),
        ("config.timeout", vec![Scalar::Time(5, 0)]),
        ("config.credentials", vec![Scalar::Number(0)]),
        ("revision", vec![Scalar::Number(0)]),
    ] {
        assert_eq!(path(at).unwrap().values(&item), values, "{at}");
    }
}

#[test]
fn a_field_that_is_not_there_is_told_with_those_that_are() {
    for (at, why) in [
        ("", "there is no field ``: these are name, etag"),
        ("nam", "these are name, etag, revision, config"),
        ("config.spec.remot", "these are catalog, remote"),
        ("name.x", "has no fields"),
        ("config", "no value that can be compared"),
        ("config.spec", "no value that can be compared"),
        ("config.spec.command.env", "write the key behind it"),
    ] {
        let said = path(at).unwrap_err();
        assert!(said.contains(why), "{at}: {said}");
    }
}

#[test]
fn values_are_read_as_their_field_has_them() {
    let read = |at, text| path(at).unwrap().value(text);
    assert_eq!(read("config.timeout", "5s"), Ok(Scalar::Time(5, 0)));
    assert_eq!(read("revision", "7"), Ok(Scalar::Number(7)));
    let required = "CREDENTIALS_MODE_REQUIRED";
    assert_eq!(read("config.credentials", required), Ok(Scalar::Number(3)));
    for (at, text, why) in [
        ("config.timeout", "soon", "soon"),
        ("revision", "x", "no number"),
        ("config.credentials", "required", "CREDENTIALS_MODE_NONE"),
    ] {
        let said = read(at, text).unwrap_err();
        assert!(said.contains(why), "{said}");
    }
}

fn merged(mask: &[&str]) -> Result<pb::Server, Status> {
    let current = server(Some(5), &[("A", "1"), ("B", "2")]);
    let mut wanted = server(None, &[("A", "9")]);
    wanted.config.as_mut().unwrap().credentials = 3;
    let paths = mask.iter().map(ToString::to_string).collect();
    merge(&current, &wanted, Some(&FieldMask { paths }))
}

fn env(server: &pb::Server) -> String {
    let spec = server.config.as_ref().unwrap().spec.as_ref().unwrap();
    let Some(Spec::Command(command)) = &spec.kind else {
        panic!("{spec:?}");
    };
    let values = command.env.iter().map(|(name, setting)| {
        let Some(config::setting::Value::Literal(text)) = &setting.value else {
            panic!("{setting:?}");
        };
        format!("{name}={text}")
    });
    values.collect::<Vec<_>>().join(" ")
}

#[test]
fn only_what_the_mask_names_is_taken() {
    let made = merged(&["config.credentials"]).unwrap();
    let config = made.config.as_ref().unwrap();
    assert_eq!((config.credentials, config.timeout.is_some()), (3, true));
    assert_eq!(env(&made), "A=1 B=2");

    let made = merged(&["config.timeout", "config.spec.command.env.A"]).unwrap();
    let config = made.config.as_ref().unwrap();
    assert_eq!((config.credentials, config.timeout), (0, None));
    assert_eq!(env(&made), "A=9 B=2");

    let made = merged(&["config.spec.command.env.B"]).unwrap();
    assert_eq!(env(&made), "A=1");
    assert!(merged(&["config.spec.remote.endpoint"]).is_ok());

    let made = merged(&["*"]).unwrap();
    let config = made.config.as_ref().unwrap();
    assert_eq!((config.credentials, config.timeout), (3, None));
    assert_eq!(env(&made), "A=9");

    // None: what is set is taken, what is not stays.
    let made = merged(&[]).unwrap();
    let config = made.config.as_ref().unwrap();
    assert_eq!((config.credentials, config.timeout.is_some()), (3, true));
    assert_eq!(env(&made), "A=9");
}

#[test]
fn a_mask_that_names_what_cannot_be_changed_is_refused_by_its_place() {
    use tonic_types::StatusExt as _;
    let status = merged(&[
        "config.timeout",
        "name",
        "config.nothing",
        "config.spec.command.args.0",
        "config.spec.command.env.A.literal",
    ]);
    let details = status.unwrap_err().get_error_details();
    let found = &details.bad_request().unwrap().field_violations;
    let at: Vec<_> = found.iter().map(|one| &*one.field).collect();
    let expected = [1, 2, 3, 4].map(|index| format!("update_mask.paths[{index}]"));
    assert_eq!(at, expected);
}
