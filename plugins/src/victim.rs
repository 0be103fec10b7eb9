//! A process that tests kill at any point of its work, and how far it said that it had come.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use std::{env, thread};

const WORK: &str = "GATEWAY_PLUGINS_TEST_WORK";
/// How a line begins that says a number of something done. What stands before it is the test harness's.
const DONE: &str = "done ";

/// A test of this binary in a process of its own.
pub(crate) struct Victim {
    child: Child,
    said: BufReader<ChildStdout>,
}

/// What a victim is to do: the numbers from `first` on, as worker `worker`, in `folder`.
pub(crate) struct Work {
    pub(crate) folder: PathBuf,
    pub(crate) worker: u64,
    pub(crate) first: u64,
}

impl Work {
    /// `None` in the process that runs the tests, where there is nothing to do.
    pub(crate) fn given() -> Option<Self> {
        let given = env::var(WORK).ok()?;
        let mut parts = given.splitn(3, ' ');
        let mut number = || parts.next()?.parse().ok();
        let (worker, first) = (number()?, number()?);
        let folder = parts.next()?.into();
        Some(Self {
            folder,
            worker,
            first,
        })
    }

    /// Says that this number is done, which from now on must hold.
    pub(crate) fn is_done(number: u64) {
        writeln!(io::stdout(), "{DONE}{number}").unwrap();
    }
}

impl Victim {
    /// `test` is the path of a test that goes on until it is killed.
    pub(crate) fn start(test: &str, folder: &Path, worker: u64, first: u64) -> Self {
        let work = format!("{worker} {first} {}", folder.display());
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "--nocapture", test])
            .env(WORK, work)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said }
    }

    /// Kills it: somewhere in its start, or somewhere after the first thing that it has done.
    /// Gives the last number that it said, `None` if it came to none.
    pub(crate) fn kill(mut self, in_its_start: bool) -> Option<u64> {
        let mut last = None;
        while !in_its_start && last.is_none() {
            let mut line = String::new();
            assert!(
                self.said.read_line(&mut line).unwrap() > 0,
                "it ended by itself"
            );
            last = number(&line);
        }
        let micros = uuid::Uuid::new_v4().as_u128() % 15_000;
        thread::sleep(Duration::from_micros(micros as u64));
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).unwrap();
        rest.split_inclusive('\n')
            .filter_map(number)
            .next_back()
            .or(last)
    }
}

/// Of a whole line; one that was cut off may say another number.
fn number(line: &str) -> Option<u64> {
    let (_, number) = line.strip_suffix('\n')?.split_once(DONE)?;
    number.parse().ok()
}
