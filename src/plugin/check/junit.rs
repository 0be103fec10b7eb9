//! The result as JUnit XML, which CI systems read.

use std::time::Duration;

use gateway_plugins::suite::Verdict;

use super::advice::advice;
use super::result::{Checked, CheckedEra};

/// One suite for each version of MCP, one test case for each case.
pub(super) fn xml(checked: &Checked) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let all: Duration = checked.eras.iter().map(time_of).sum();
    let tests = checked.cases().count();
    let (failed, skipped, took) = (checked.failed(), checked.skipped(), all.as_secs_f64());
    let mut line = |line: &str| {
        xml.push_str(line);
        xml.push('\n');
    };
    line(&format!(
        r#"<testsuites name="mcp-gateway plugin check" tests="{tests}" failures="{failed}" skipped="{skipped}" errors="0" time="{took:.3}">"#
    ));
    for era in &checked.eras {
        let count = |of: fn(&Verdict) -> bool| {
            let verdicts = era.cases.iter().map(|case| &case.finding.verdict);
            verdicts.filter(|verdict| of(verdict)).count()
        };
        let name = format!("{} over MCP {}", checked.kind, era.version);
        line(&format!(
            r#"  <testsuite name="{}" tests="{}" failures="{}" skipped="{}" errors="0" time="{:.3}">"#,
            escaped(&name),
            era.cases.len(),
            count(|verdict| matches!(verdict, Verdict::Failed(_))),
            count(|verdict| matches!(verdict, Verdict::NotApplicable(_))),
            time_of(era).as_secs_f64(),
        ));
        for case in &era.cases {
            let class = format!("{}.{}", checked.kind, case.part.as_str());
            let opening = format!(
                r#"    <testcase classname="{}" name="{}" time="{:.3}""#,
                escaped(&class),
                case.finding.case,
                case.finding.took.as_secs_f64(),
            );
            let advice = advice(checked.kind, case).unwrap_or_default();
            match &case.finding.verdict {
                Verdict::Passed => line(&format!("{opening}/>")),
                Verdict::Failed(what) => line(&format!(
                    "{opening}><failure message=\"{}\">{}</failure></testcase>",
                    escaped(what),
                    escaped(&advice),
                )),
                Verdict::NotApplicable(why) => line(&format!(
                    "{opening}><skipped message=\"{}\"/></testcase>",
                    escaped(&[why.as_str(), &advice].join("; ")),
                )),
            }
        }
        line("  </testsuite>");
    }
    line("</testsuites>");
    xml
}

fn time_of(era: &CheckedEra) -> Duration {
    era.cases.iter().map(|case| case.finding.took).sum()
}

/// A text as it may stand in XML, where most control characters may not stand at all.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\n' | '\r' | '\t' => escaped.push(' '),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stands_in_xml_whatever_it_holds() {
        assert_eq!(
            escaped("<a b=\"c\"> & 'd'\n\0"),
            "&lt;a b=&quot;c&quot;&gt; &amp; &apos;d&apos; \u{fffd}"
        );
    }
}
