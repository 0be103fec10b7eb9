//! What `mcp-gateway doctor` says, in a form that is the same on every machine.

use anyhow::ensure;

use crate::home::Home;

/// The flags with which no other process is in the way.
const ANY_PORT: [&str; 4] = ["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];

/// The report of a `doctor` who looks at a home folder, and how it ended.
pub fn examine(home: &Home, arguments: &[&str]) -> anyhow::Result<String> {
    let done = home.run(&[&["doctor"], arguments, &ANY_PORT].concat())?;
    let ended = if done.stdout.ends_with("nothing is wrong\n") {
        (Some(0), String::new())
    } else {
        (Some(1), done.stderr.clone())
    };
    ensure!((done.code, done.stderr.clone()) == ended, "{done:?}");
    let shown = look(&done.stdout);
    Ok(format!(
        "$ {}\n{shown}{}\n",
        [&["mcp-gateway", "doctor"], arguments].concat().join(" "),
        done.stderr
    ))
}

/// A report whose lines are as long as they happen to be: where they are broken depends on how
/// long the paths in them are.
pub fn look(report: &str) -> String {
    let mut whole = String::new();
    for line in report.lines() {
        let continued = line.strip_prefix("         ");
        match continued.filter(|text| !text.starts_with(['|', ' '])) {
            Some(text) => {
                whole.pop();
                whole.push_str(&format!(" {text}"));
            }
            None => whole.push_str(line),
        }
        whole.push('\n');
    }
    whole
}
