//! The memory of a process, by `/proc/PID/smaps_rollup`.

use std::fs;

use anyhow::Context as _;
use serde::Serialize;

/// In bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// All pages in memory.
    pub resident: u64,
    /// The same, with pages that several processes use counted in parts.
    pub proportional: u64,
}

impl Memory {
    pub fn of(process: u32) -> anyhow::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))
            .with_context(|| format!("reading the memory of process {process}"))?;
        parse(&text).with_context(|| format!("reading smaps_rollup {text:?}"))
    }
}

/// The most that a process had in memory so far, in bytes.
pub fn peak(process: u32) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))
        .with_context(|| format!("reading the status of process {process}"))?;
    field(&text, "VmHWM:").with_context(|| format!("reading the status {text:?}"))
}

fn parse(smaps: &str) -> Option<Memory> {
    Some(Memory {
        resident: field(smaps, "Rss:")?,
        proportional: field(smaps, "Pss:")?,
    })
}

/// In bytes, as these files have sizes: in kB.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes: u64 = line?.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_sizes() {
        let text = "5581-7ffd ---p 00000000 00:00 0    [rollup]\nRss:    1884 kB\nPss:     563 kB\nPss_Dirty:  92 kB\n";
        let expected = Memory {
            resident: 1884 * 1024,
            proportional: 563 * 1024,
        };
        assert_eq!(parse(text), Some(expected));
        assert_eq!(parse("Rss: 1884 kB\n"), None);
    }

    #[test]
    fn this_process_uses_some() {
        let memory = Memory::of(std::process::id()).unwrap();
        assert!(memory.resident >= memory.proportional && memory.proportional > 0);
        assert!(peak(std::process::id()).unwrap() > 0);
    }
}
