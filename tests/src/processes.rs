//! Looks for processes in `/proc`, to show that none is left behind.

use std::fs;
use std::io;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};

/// The variable by which everything that a gateway starts is found again, whoever its parent is by then. Its name
/// begins as those do that children inherit.
pub const MARK: &str = "XDG_GATEWAY_TESTS_MARK";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub id: i32,
    /// Tells apart two processes that had the same id one after the other.
    start: String,
    pub command: String,
}

/// The processes that live below process `ancestor`, itself not included.
pub fn descendants(ancestor: u32) -> Vec<Process> {
    let all: Vec<(Process, i64)> = live().collect();
    let mut found: Vec<i64> = vec![i64::from(ancestor)];
    let mut below = Vec::new();
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        for (process, _) in all.iter().filter(|(_, its_parent)| *its_parent == parent) {
            found.push(i64::from(process.id));
            below.push(process.clone());
        }
        next += 1;
    }
    below
}

/// The processes that were started with this mark in their environment.
pub fn marked(mark: &str) -> Vec<Process> {
    let wanted = format!("{MARK}={mark}");
    live()
        .map(|(process, _)| process)
        .filter(|process| {
            let environment = fs::read(entry(process.id).join("environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == wanted.as_bytes())
        })
        .collect()
}

/// Whether it is still there and more than a zombie that waits for its parent.
pub fn is_alive(process: &Process) -> bool {
    read(process.id).is_some_and(|(found, _)| found.start == process.start)
}

/// How many children of `parent` have ended without being waited for.
pub fn zombies(parent: u32) -> usize {
    let ids = fs::read_dir("/proc").into_iter().flatten().flatten();
    ids.filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?))
        .filter(|stat| stat.state == "Z" && stat.parent == i64::from(parent))
        .count()
}

/// How many files and sockets process `id` has open.
pub fn descriptors(id: u32) -> io::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{id}/fd"))?.count())
}

/// How much memory process `id` has in use, in bytes.
pub fn memory(id: u32) -> io::Result<u64> {
    size(id, "VmRSS:")
}

/// How much memory process `id` had in use when it had the most, in bytes.
pub fn peak_memory(id: u32) -> io::Result<u64> {
    size(id, "VmHWM:")
}

fn size(id: u32, name: &str) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let size = status.lines().find_map(|line| line.strip_prefix(name));
    let size = size.and_then(|size| size.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    size.map(|size| size * 1024)
        .ok_or_else(|| io::Error::other("the process says no size"))
}

/// Ends it at once; that it is gone already is as good.
pub fn kill(process: &Process) {
    if is_alive(process)
        && let Some(id) = Pid::from_raw(process.id)
    {
        kill_process(id, Signal::KILL).ok();
    }
}

fn live() -> impl Iterator<Item = (Process, i64)> {
    let ids = fs::read_dir("/proc").into_iter().flatten().flatten();
    ids.filter_map(|entry| read(entry.file_name().to_str()?.parse().ok()?))
}

fn entry(id: i32) -> PathBuf {
    PathBuf::from(format!("/proc/{id}"))
}

struct Stat {
    state: String,
    parent: i64,
    start: String,
}

/// The command's name stands in parentheses and may hold anything, so the fields are counted behind it.
fn stat(id: i32) -> Option<Stat> {
    let text = fs::read_to_string(entry(id).join("stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    Some(Stat {
        state: (*fields.first()?).to_owned(),
        parent: fields.get(1)?.parse().ok()?,
        start: (*fields.get(19)?).to_owned(),
    })
}

fn read(id: i32) -> Option<(Process, i64)> {
    let stat = stat(id)?;
    if stat.state == "Z" || stat.state == "X" {
        return None;
    }
    let command = fs::read(entry(id).join("cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    Some((
        Process {
            id,
            start: stat.start,
            command,
        },
        stat.parent,
    ))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn finds_a_child_by_its_parent_and_by_its_mark() {
        let mut child = Command::new("sleep")
            .arg("1000")
            .env(MARK, "unit-test")
            .spawn()
            .unwrap();
        let is_child = |process: &Process| process.id.unsigned_abs() == child.id();
        assert!(descendants(std::process::id()).iter().any(is_child));
        let found = marked("unit-test").into_iter().find(is_child).unwrap();
        assert!(is_alive(&found) && found.command.starts_with("sleep"));
        kill(&found);
        child.wait().unwrap();
        assert!(!is_alive(&found));
    }
}
