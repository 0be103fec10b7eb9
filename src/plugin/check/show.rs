//! The result for people and for programs.

use std::collections::BTreeSet;
use std::time::Duration;

use gateway_plugins::suite::{Latency, Verdict};
use serde_json::{Value, json};

use super::advice::advice;
use super::result::{Case, Checked, CheckedEra, percentile};

/// The column in which everything but the verdict begins.
const INDENT: usize = 9;

/// For people: a line for each case, and below it what to do.
pub(super) fn text(checked: &Checked) -> String {
    let mut text = String::new();
    let mut line = |line: &str| {
        text.push_str(line.trim_end());
        text.push('\n');
    };
    let mut flags = Vec::new();
    let server = checked.server.as_ref();
    let server = server.map(|server| format!(" ({})", server.in_words()));
    let server = printable(&server.unwrap_or_default());
    line(&format!(
        "{}: {}{server}",
        checked.kind,
        printable(&checked.plugin)
    ));
    for era in &checked.eras {
        let mut told = BTreeSet::new();
        line("");
        line(&format!("MCP {}", era.version));
        for case in &era.cases {
            let (verdict, why) = match &case.finding.verdict {
                Verdict::Passed => ("ok", None),
                Verdict::Failed(what) => ("FAILED", Some(what)),
                Verdict::NotApplicable(why) => ("skipped", Some(why)),
            };
            let why = why.map(|why| format!(": {}", printable(why)));
            let case_text = sentence(case.finding.case);
            line(&format!(
                "{verdict:<INDENT$}{case_text}{}",
                why.unwrap_or_default()
            ));
            match (advice(checked.kind, case), &case.finding.verdict) {
                // What one fault brings about in several cases is mended where it was first seen.
                (Some(_), Verdict::Failed(what)) if !told.insert(what) => {}
                (Some(advice), Verdict::Failed(_)) => line(&format!("{:INDENT$}→ {advice}", "")),
                // Of many cases the same.
                (Some(advice), _) if !flags.contains(&advice) => flags.push(advice),
                _ => {}
            }
        }
        if let Some(latency) = &era.latency {
            line(&format!("{:<INDENT$}{}", "latency", in_words(latency)));
        }
    }
    line("");
    let (passed, failed, skipped) = (checked.passed(), checked.failed(), checked.skipped());
    line(&format!(
        "{passed} passed, {failed} failed, {skipped} skipped"
    ));
    for flag in flags {
        line(&format!("to judge more, {flag}"));
    }
    text
}

/// For programs.
pub(super) fn json(checked: &Checked) -> anyhow::Result<String> {
    let latency = checked.eras.iter().filter_map(|era| {
        let latency = era.latency.as_ref()?;
        Some(json!({
            "protocol_version": era.version.as_str(),
            "tool": latency.tool,
            "calls": latency.calls.len(),
            "p50_ms": milliseconds(percentile(latency, 50)),
            "p99_ms": milliseconds(percentile(latency, 99)),
        }))
    });
    let cases = checked
        .cases()
        .map(|(era, case)| record(checked, era, case));
    let server = checked.server.as_ref();
    let result = json!({
        "plugin": checked.plugin,
        "kind": checked.kind.as_str(),
        "server": server.map(|server| json!({ "name": server.name, "version": server.version })),
        "passed": checked.passed(),
        "failed": checked.failed(),
        "skipped": checked.skipped(),
        "cases": cases.collect::<Vec<_>>(),
        "latency": latency.collect::<Vec<_>>(),
    });
    Ok(serde_json::to_string_pretty(&result)? + "\n")
}

fn record(checked: &Checked, era: &CheckedEra, case: &Case) -> Value {
    let (outcome, message) = match &case.finding.verdict {
        Verdict::Passed => ("passed", None),
        Verdict::Failed(what) => ("failed", Some(what)),
        Verdict::NotApplicable(why) => ("skipped", Some(why)),
    };
    json!({
        "protocol_version": era.version.as_str(),
        "part": case.part.as_str(),
        "case": case.finding.case,
        "outcome": outcome,
        "message": message,
        "advice": advice(checked.kind, case),
        "seconds": case.finding.took.as_secs_f64(),
    })
}

fn in_words(latency: &Latency) -> String {
    format!(
        "{} calls of {}: p50 {:.1} ms, p99 {:.1} ms",
        latency.calls.len(),
        latency.tool,
        milliseconds(percentile(latency, 50)),
        milliseconds(percentile(latency, 99)),
    )
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// A case's name as people read it.
pub(super) fn sentence(case: &str) -> String {
    case.replace('_', " ")
}

/// What servers said, so that nothing in it moves a terminal's cursor.
fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(shown).collect()
}
