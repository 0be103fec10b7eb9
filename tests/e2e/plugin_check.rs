//! `mcp-gateway plugin check`: what it finds at plugins that are wrong, and how it says so.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::clients::python_program;
use gateway_tests::home::{Done, Home};
use gateway_tests::secrets::secret;
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

/// What the broken plugin was set up with.
const KEYS: [&str; 4] = [
    "--accept",
    "api_key=env:KEY_OF_ADA:ada",
    "--accept",
    "api_key=env:KEY_OF_BOB:bob",
];

fn home() -> Result<Home> {
    let mut home = Home::new(BINARY)?;
    home.set("KEY_OF_ADA", &secret("ada"));
    home.set("KEY_OF_BOB", &secret("bob"));
    Ok(home)
}

fn broken() -> Result<String> {
    let scripts = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let script = scripts
        .join("broken_plugin.py")
        .into_os_string()
        .into_string();
    script.ok().context("the path is text")
}

/// Checks the broken plugin with these flags before the command.
fn check(home: &Home, flags: &[&str], faults: &[&str]) -> Result<Done> {
    let (python, script) = (python_program("python")?, broken()?);
    let python = python.to_str().context("the path is text")?;
    let mut arguments = vec!["plugin", "check", "--calls", "20"];
    arguments.extend(flags);
    arguments.extend(["--command", python, "--", &script]);
    arguments.extend(faults);
    home.run(&arguments)
}

/// The cases of this outcome, each named once.
fn cases(result: &Value, outcome: &str) -> Vec<String> {
    let cases = result["cases"].as_array().into_iter().flatten();
    let of = cases.filter(|case| case["outcome"] == outcome);
    of.filter_map(|case| case["case"].as_str().map(str::to_owned))
        .collect()
}

/// Holds a check to failing in these cases and no others.
fn finds(flags: &[&str], fault: &str, due: &[&str]) -> Result<()> {
    let home = home()?;
    let all: Vec<_> = ["-o", "json"]
        .iter()
        .chain(flags)
        .chain(&KEYS)
        .copied()
        .collect();
    let done = check(&home, &all, &[fault])?;
    ensure!(done.code == Some(1), "{fault}: {}", done.stderr);
    let result: Value = serde_json::from_str(&done.stdout)?;
    let failed = cases(&result, "failed");
    ensure!(failed == due, "{fault}: {failed:?} in {}", done.stdout);
    ensure!(result.get("failed") == Some(&due.len().into()), "{fault}");
    Ok(())
}

#[test]
fn a_plugin_that_does_as_it_should_passes() -> Result<()> {
    let home = home()?;
    let mut flags = vec!["-o", "json", "--junit", "result.xml"];
    flags.extend(KEYS);
    let done = check(&home, &flags, &[])?;
    ensure!(done.code == Some(0), "{}{}", done.stdout, done.stderr);
    let result: Value = serde_json::from_str(&done.stdout)?;
    assert_eq!(result["kind"], "auth_provider");
    assert_eq!(
        result["server"],
        json!({ "name": "broken", "version": "1" })
    );
    assert_eq!(cases(&result, "passed").len(), 15);
    assert_eq!(result["skipped"], 0);
    let latency = &result["latency"][0];
    assert_eq!(latency["calls"], 20);
    assert!(
        latency["p50_ms"].as_f64() <= latency["p99_ms"].as_f64(),
        "{latency}"
    );
    Ok(())
}

#[test]
fn finds_tools_and_schemas_that_are_not_those_of_the_contract() -> Result<()> {
    let auth = ["--kind", "auth_provider"];
    finds(&auth, "other-name", &["lists_the_tools_of_its_kind"])?;
    finds(
        &[],
        "other-arguments",
        &["takes_the_arguments_of_the_contract"],
    )?;
    let odd = [
        "gives_results_in_the_form_of_its_schemas",
        "knows_whose_each_good_credential_is",
        "rejects_bad_credentials_without_repeating_them",
        "keeps_callers_apart_who_ask_at_once",
        "is_usable_after_dropped_calls",
    ];
    finds(&[], "odd-results", &odd)?;
    finds(&[], "has-every-tool", &["refuses_a_tool_that_it_has_not"])?;
    Ok(())
}

#[test]
fn finds_a_plugin_that_hangs_without_waiting_for_each_call() -> Result<()> {
    finds(
        &["--timeout", "300ms"],
        "hangs",
        &["answers_each_tool_in_time"],
    )?;
    Ok(())
}

#[test]
fn finds_a_plugin_that_ends_at_the_third_call() -> Result<()> {
    let home = home()?;
    let mut flags = vec!["-o", "json"];
    flags.extend(KEYS);
    let done = check(&home, &flags, &["crashes"])?;
    assert_eq!(done.code, Some(1));
    let result: Value = serde_json::from_str(&done.stdout)?;
    let failed = cases(&result, "failed");
    // In which other cases a third call comes depends on how quickly each child ends.
    let due = "stays_up_through_many_calls".to_owned();
    assert!(failed.contains(&due), "{}", done.stdout);
    Ok(())
}

#[test]
fn finds_answers_that_cannot_be_read_and_arguments_that_nobody_checks() -> Result<()> {
    let unreadable = [
        "knows_whose_each_good_credential_is",
        "keeps_callers_apart_who_ask_at_once",
        "is_usable_after_dropped_calls",
    ];
    finds(&[], "unreadable", &unreadable)?;
    let unchecked = [
        "gives_results_in_the_form_of_its_schemas",
        "refuses_bad_arguments",
        "rejects_bad_credentials_without_repeating_them",
        "keeps_callers_apart_who_ask_at_once",
        "is_usable_after_dropped_calls",
    ];
    finds(&[], "takes-anything", &unchecked)?;
    Ok(())
}

#[test]
fn finds_secrets_in_errors() -> Result<()> {
    finds(&[], "repeats", &["repeats_no_secret_in_errors"])?;
    let bad_keys = [
        "rejects_bad_credentials_without_repeating_them",
        "answers_hostile_credentials",
        "keeps_callers_apart_who_ask_at_once",
        "is_usable_after_dropped_calls",
    ];
    finds(&[], "repeats-bad-keys", &bad_keys)?;
    Ok(())
}

#[test]
fn finds_a_plugin_that_takes_one_caller_for_another_or_everybody_in() -> Result<()> {
    finds(&[], "mixes-up", &["keeps_callers_apart_who_ask_at_once"])?;
    let all_in = [
        "rejects_bad_credentials_without_repeating_them",
        "keeps_callers_apart_who_ask_at_once",
        "is_usable_after_dropped_calls",
    ];
    finds(&[], "lets-all-in", &all_in)?;
    Ok(())
}

#[test]
fn an_era_that_is_asked_for_has_to_be_spoken() -> Result<()> {
    finds(&["--era", "modern"], "none", &["speaks_this_version"])?;
    Ok(())
}

#[test]
fn the_report_says_in_lines_what_is_wrong_and_what_to_do() -> Result<()> {
    let home = home()?;
    let done = check(
        &home,
        &["--accept", "api_key=env:KEY_OF_ADA:ada"],
        &["lets-all-in"],
    )?;
    let lines = done.stdout.lines();
    let lines =
        lines.filter(|line| !line.starts_with("auth_provider:") && !line.starts_with("latency"));
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
    assert_eq!(done.stderr, "error: 3 cases failed\n");
    let done = check(&home, &[], &[])?;
    ensure!(done.code == Some(0), "{}", done.stderr);
    let last = done.stdout.lines().last().unwrap_or_default();
    assert_eq!(
        last,
        "to judge more, give --accept TYPE=VALUE:USER, where VALUE may be env:NAME"
    );
    Ok(())
}

/// What an XML parser makes of a file, with the text of each failure.
const READ_XML: &str = "
import json, sys
from xml.etree import ElementTree
root = ElementTree.parse(sys.argv[1]).getroot()
cases = [(case.get('name'), [(part.tag, part.get('message')) for part in case]) for case in root.iter('testcase')]
suites = [dict(suite.attrib) for suite in root.iter('testsuite')]
print(json.dumps({'root': dict(root.attrib), 'suites': suites, 'cases': cases}))
";

#[test]
fn junit_is_xml_that_says_the_same() -> Result<()> {
    let home = home()?;
    let mut flags = vec!["-o", "json", "--junit", "result.xml"];
    flags.extend(KEYS);
    let done = check(&home, &flags, &["repeats-bad-keys"])?;
    let result: Value = serde_json::from_str(&done.stdout)?;
    let read = std::process::Command::new(python_program("python")?)
        .args(["-c", READ_XML])
        .arg(home.path().join("result.xml"))
        .output()?;
    ensure!(
        read.status.success(),
        "{}",
        String::from_utf8_lossy(&read.stderr)
    );
    let xml: Value = serde_json::from_slice(&read.stdout)?;
    let cases = result["cases"].as_array().context("cases")?;
    assert_eq!(xml["cases"].as_array().map(Vec::len), Some(cases.len()));
    assert_eq!(
        xml["suites"][0]["name"],
        "auth_provider over MCP 2025-11-25"
    );
    for (counted, due) in [("tests", cases.len()), ("failures", 4), ("skipped", 0)] {
        assert_eq!(xml["root"][counted], due.to_string(), "{counted}");
        assert_eq!(xml["suites"][0][counted], due.to_string(), "{counted}");
    }
    for (case, junit) in cases
        .iter()
        .zip(xml["cases"].as_array().into_iter().flatten())
    {
        assert_eq!(junit[0], case["case"]);
        if case["outcome"] == "failed" {
            assert_eq!(junit[1][0], json!(["failure", case["message"]]));
        } else {
            assert_eq!(junit[1], json!([]));
        }
    }
    Ok(())
}

#[test]
fn a_plugin_that_is_not_there_is_one_clear_error() -> Result<()> {
    let home = home()?;
    let done = home.run(&["plugin", "check", "--url", "http://127.0.0.1:9"])?;
    assert_eq!(done.code, Some(1));
    assert!(done.stdout.is_empty());
    insta::assert_snapshot!(done.stderr, @r"
    error: cannot connect to http://127.0.0.1:9/mcp: check its address and that the server is running: client error (Connect): cannot connect to 127.0.0.1:9: Connection refused (os error 111)
    see whether it runs, and what it answers: curl -i http://127.0.0.1:9/mcp
    ");
    let done = home.run(&[
        "plugin",
        "check",
        "--command",
        "sh",
        "--",
        "-c",
        "echo no keys >&2; exit 3",
    ])?;
    assert_eq!(done.code, Some(1));
    insta::assert_snapshot!(done.stderr, @r"
    error: the command ended (exit status: 3)
    it wrote to standard error:
      | no keys
    ");
    Ok(())
}

#[test]
fn what_is_said_wrongly_is_a_matter_of_usage() -> Result<()> {
    let home = home()?;
    home.write("odd.yaml", "acept: []\n")?;
    let url = ["--url", "http://127.0.0.1:9"];
    for (flags, due) in [
        (vec![], "--url <URL>"),
        (
            vec!["--kind", "auth"],
            "possible values: auth_provider, credential_storage",
        ),
        (
            vec!["--accept", "api_key=hunter2"],
            "write it as TYPE=VALUE:USER",
        ),
        (
            vec!["--accept", "api_key=env:NO_SUCH:ada"],
            "`NO_SUCH` is not set",
        ),
        (vec!["--bearer-from-env", "NO_SUCH"], "`NO_SUCH` is not set"),
        (vec!["-f", "no-such.yaml"], "no-such.yaml cannot be read"),
        (vec!["-f", "odd.yaml"], "acept"),
        (
            vec!["--url", "ftp://x"],
            "it does not begin with http:// or https://",
        ),
    ] {
        let mut arguments = vec!["plugin", "check"];
        arguments.extend(&flags);
        if !flags.is_empty() && !flags.contains(&"--url") {
            arguments.extend(url);
        }
        let done = home.run(&arguments)?;
        assert_eq!(done.code, Some(2), "{flags:?}: {}", done.stderr);
        assert!(done.stderr.contains(due), "{flags:?}: {}", done.stderr);
        assert!(!done.stderr.contains("hunter2"), "{}", done.stderr);
    }
    let done = check(&home, &[], &["other-name"])?;
    assert_eq!(done.code, Some(2));
    assert!(
        done.stderr.contains("(check_credential): say with --kind"),
        "{}",
        done.stderr
    );
    Ok(())
}
