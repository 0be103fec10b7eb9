//! What each role reaches, and that no tenant reaches another's secrets.

use std::fs;
use std::os::unix::fs::symlink;

use gateway_core::ExposeSecret;
use proptest::prelude::*;

use super::*;

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

fn variables(name: &str) -> Option<OsString> {
    use std::os::unix::ffi::OsStringExt;
    match name {
        "PLAIN" => Some("plain-value".into()),
        "EMPTY" => Some("".into()),
        "BINARY" => Some(OsString::from_vec(vec![b's', 0xff])),
        "MCP_GATEWAY_SECRET__ACME__TOKEN" => Some("acme-value".into()),
        "MCP_GATEWAY_SECRET__A__B__TOKEN" => Some("value of a--b".into()),
        _ => None,
    }
}

fn desktop() -> SecretResolver {
    SecretResolver {
        variable: variables,
        ..SecretResolver::desktop()
    }
}

fn data_plane(directory: Option<&Path>) -> SecretResolver {
    let directory = directory.map(Path::to_owned);
    SecretResolver {
        variable: variables,
        ..SecretResolver::data_plane(directory)
    }
}

fn env(name: &str) -> Setting {
    Setting::Secret(SecretRef::FromEnv(name.into()))
}

fn file(path: impl Into<PathBuf>) -> Setting {
    Setting::Secret(SecretRef::FromFile(path.into()))
}

fn read(resolver: &SecretResolver, owner: &str, setting: &Setting) -> Result<String, String> {
    match resolver.resolve(&tenant(owner), "servers.web.auth.bearer", setting) {
        Ok(value) => Ok(value.expose_secret().to_owned()),
        Err(violation) => {
            assert_eq!(violation.path, "servers.web.auth.bearer");
            Err(violation.reason)
        }
    }
}

#[test]
fn a_literal_is_its_own_value() {
    let literal = Setting::Literal("spelt out".into());
    assert_eq!(
        read(&data_plane(None), "acme", &literal).unwrap(),
        "spelt out"
    );
}

#[test]
fn the_desktop_reads_any_variable() {
    assert_eq!(
        read(&desktop(), "acme", &env("PLAIN")).unwrap(),
        "plain-value"
    );
    let errors = ["MISSING", "EMPTY", "BINARY", "A=B", ""]
        .map(|name| read(&desktop(), "acme", &env(name)).unwrap_err());
    insta::assert_snapshot!(errors.join("\n"), @r"
    the environment variable `MISSING` is not set
    the environment variable `EMPTY` is empty
    the environment variable `BINARY` is not text in UTF-8
    `A=B` is no name of an environment variable
    `` is no name of an environment variable
    ");
}

#[test]
fn the_desktop_reads_any_file_and_trims_one_line_break() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    for (content, value) in [
        ("v", "v"),
        ("v\n", "v"),
        ("v\r\n", "v"),
        ("v\n\n", "v\n"),
        ("\nv ", "\nv "),
    ] {
        fs::write(&path, content).unwrap();
        assert_eq!(read(&desktop(), "acme", &file(&path)).unwrap(), value);
    }
}

#[test]
fn a_file_that_holds_no_secret_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let contents: [(&str, &[u8]); 4] = [
        ("empty", b""),
        ("blank", b"\n"),
        ("binary", b"s\xff"),
        ("large", &[b's'; 65 * 1024]),
    ];
    for (name, content) in contents {
        fs::write(directory.path().join(name), content).unwrap();
    }
    fs::create_dir(directory.path().join("folder")).unwrap();
    let names = ["empty", "blank", "binary", "large", "folder", "missing"];
    let errors = names.map(|name| {
        let error = read(&desktop(), "acme", &file(directory.path().join(name))).unwrap_err();
        error.replace(&directory.path().display().to_string(), "DIR")
    });
    insta::assert_snapshot!(errors.join("\n"), @r"
    the file DIR/empty is empty
    the file DIR/blank is empty
    the file DIR/binary is not text in UTF-8
    the file DIR/large is too large for a secret
    DIR/folder is not a regular file
    the file DIR/missing cannot be read: No such file or directory (os error 2)
    ");
}

#[test]
fn a_data_plane_reads_only_the_tenants_own_variables() {
    let resolver = data_plane(None);
    assert_eq!(
        read(&resolver, "acme", &env("TOKEN")).unwrap(),
        "acme-value"
    );
    assert_eq!(
        read(&resolver, "a--b", &env("TOKEN")).unwrap(),
        "value of a--b"
    );
    let errors = [
        read(&resolver, "globex", &env("TOKEN")).unwrap_err(),
        read(&resolver, "acme", &env("PLAIN")).unwrap_err(),
        read(&resolver, "a", &env("B__TOKEN")).unwrap_err(),
        read(&resolver, "acme", &env("MCP_GATEWAY_SECRET__GLOBEX__TOKEN")).unwrap_err(),
    ];
    insta::assert_snapshot!(errors.join("\n"), @r"
    the environment variable `MCP_GATEWAY_SECRET__GLOBEX__TOKEN` is not set
    the environment variable `MCP_GATEWAY_SECRET__ACME__PLAIN` is not set
    `B__TOKEN` is no name of a secret: write NAME for the variable `MCP_GATEWAY_SECRET__A__NAME`, with letters, digits and single underscores
    `MCP_GATEWAY_SECRET__GLOBEX__TOKEN` is no name of a secret: write NAME for the variable `MCP_GATEWAY_SECRET__ACME__NAME`, with letters, digits and single underscores
    ");
}

/// A secret directory with one secret of each of two tenants, and something beside it.
fn secret_directory() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("outside"), "replica-value").unwrap();
    for owner in ["acme", "globex"] {
        fs::create_dir_all(root.path().join("secrets").join(owner)).unwrap();
        let secret = root.path().join("secrets").join(owner).join("token");
        fs::write(secret, format!("{owner}-value\n")).unwrap();
    }
    root
}

#[test]
fn a_data_plane_reads_only_files_of_the_tenants_own_directory() {
    let root = secret_directory();
    let directory = root.path().join("secrets");
    let resolver = data_plane(Some(&directory));
    assert_eq!(
        read(&resolver, "acme", &file("token")).unwrap(),
        "acme-value"
    );
    assert_eq!(
        read(&resolver, "globex", &file("token")).unwrap(),
        "globex-value"
    );
    let absolute = directory.join("globex/token");
    let foreign = [
        "../globex/token",
        "..",
        ".",
        "",
        "./token",
        "token/",
        "a/../token",
        "/etc/passwd",
        "../../outside",
        ".hidden",
        absolute.to_str().unwrap(),
    ];
    for name in foreign {
        let error = read(&resolver, "acme", &file(name)).unwrap_err();
        assert!(
            error.contains("is no name of a secret: write the name of a file in"),
            "{error}"
        );
    }
    let error = read(&data_plane(None), "acme", &file("token")).unwrap_err();
    assert!(error.contains("--secret-dir"), "{error}");
}

#[test]
fn a_link_that_leads_out_of_the_tenants_directory_is_refused() {
    let root = secret_directory();
    let directory = root.path().join("secrets");
    symlink(root.path().join("outside"), directory.join("acme/outside")).unwrap();
    symlink("../globex/token", directory.join("acme/neighbour")).unwrap();
    symlink("globex", directory.join("initech")).unwrap();
    let resolver = data_plane(Some(&directory));
    for (owner, name) in [
        ("acme", "outside"),
        ("acme", "neighbour"),
        ("initech", "token"),
    ] {
        let error = read(&resolver, owner, &file(name)).unwrap_err();
        assert!(error.contains("is a link that leads out of"), "{error}");
        assert!(!error.contains("-value"), "{error}");
    }
}

#[test]
fn a_secret_is_read_as_kubernetes_mounts_it() {
    let root = secret_directory();
    let own = root.path().join("secrets/acme");
    fs::create_dir(own.join("..2026_11_22")).unwrap();
    fs::write(own.join("..2026_11_22/mounted"), "mounted-value").unwrap();
    symlink("..2026_11_22", own.join("..data")).unwrap();
    symlink("..data/mounted", own.join("mounted")).unwrap();
    let resolver = data_plane(Some(&root.path().join("secrets")));
    assert_eq!(
        read(&resolver, "acme", &file("mounted")).unwrap(),
        "mounted-value"
    );
    assert!(read(&resolver, "acme", &file("..data/mounted")).is_err());
}

#[test]
fn a_stored_credential_is_refused() {
    let credential = Setting::Secret(SecretRef::FromCredential("github".into()));
    let error = read(&desktop(), "acme", &credential).unwrap_err();
    insta::assert_snapshot!(error, @"the credential `github` cannot be read: this version reads no setting from a `credential_storage`; use `from_env` or `from_file`");
}

proptest! {
    #[test]
    fn no_two_tenants_share_a_variable(
        one in "[a-b0](-{0,2}[a-b0]){0,3}", other in "[a-b0](-{0,2}[a-b0]){0,3}",
        first in "[A-B0_]{1,6}", second in "[A-B0_]{1,6}",
    ) {
        prop_assume!(one != other);
        let first = tenant_variable(&tenant(&one), &first);
        let second = tenant_variable(&tenant(&other), &second);
        prop_assert!(first.is_err() || second.is_err() || first != second);
    }

    #[test]
    fn no_path_reaches_what_is_outside(path in "[./a-z]{0,24}") {
        let root = secret_directory();
        let resolver = data_plane(Some(&root.path().join("secrets")));
        let value = read(&resolver, "acme", &file(path.as_str()));
        prop_assert!(value.is_err() || value == Ok("acme-value".into()));
    }
}
