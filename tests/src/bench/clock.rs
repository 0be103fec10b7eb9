//! Processor time of a process with all its threads and children, in nanoseconds, by `/proc/PID/task/TID/schedstat`.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::Context as _;

use crate::processes;

/// Time that only these processes used, so that the load of the machine and of the benchmark itself does not count.
#[derive(Debug)]
pub struct Clock {
    process: u32,
    /// By process and thread. What a thread used stays when it has ended.
    used: BTreeMap<(u32, u32), u64>,
}

impl Clock {
    /// Of a process and whatever it starts.
    pub fn of(process: u32) -> Self {
        Self {
            process,
            used: BTreeMap::new(),
        }
    }

    /// What has been used since the process began, as far as it was there to be read now or earlier.
    pub fn read(&mut self) -> anyhow::Result<Duration> {
        let own = self.read_process(self.process);
        own.with_context(|| format!("reading the processor time of process {}", self.process))?;
        for child in processes::descendants(self.process) {
            // A child that has just ended was read before, if it mattered.
            self.read_process(child.id.unsigned_abs()).ok();
        }
        Ok(Duration::from_nanos(self.used.values().sum()))
    }

    fn read_process(&mut self, process: u32) -> anyhow::Result<()> {
        for task in fs::read_dir(format!("/proc/{process}/task"))? {
            let task = task?;
            // A thread may end between the two.
            let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else {
                continue;
            };
            let thread = task.file_name().to_string_lossy().parse()?;
            let used = parse(&text).with_context(|| format!("reading schedstat {text:?}"))?;
            self.used.insert((process, thread), used);
        }
        Ok(())
    }
}

/// The first field is the time on a processor, the second the time of waiting for one.
fn parse(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_time_on_a_processor() {
        assert_eq!(parse("254318227 918273 5012\n"), Some(254_318_227));
        assert_eq!(parse(""), None);
    }

    #[test]
    fn work_of_a_thread_counts_when_it_has_ended() {
        let mut clock = Clock::of(std::process::id());
        let before = clock.read().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let (worked, has_worked) = std::sync::mpsc::channel();
        let worker = std::thread::spawn(move || {
            let mut sum = 0_u64;
            for number in 0..20_000_000_u64 {
                sum = std::hint::black_box(sum.wrapping_add(number));
            }
            worked.send(sum).unwrap();
            receiver.recv().ok();
        });
        has_worked.recv().unwrap();
        let during = clock.read().unwrap();
        assert!(during > before);
        drop(sender);
        worker.join().unwrap();
        assert!(clock.read().unwrap() >= during);
    }
}
