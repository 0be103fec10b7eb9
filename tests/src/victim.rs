//! A process that tests kill at any point of its work, and how far it said that it had come.

use std::fmt::Display;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use std::{env, thread};

use anyhow::{Context as _, ensure};

const WORK: &str = "GATEWAY_TESTS_WORK";
/// How a line begins that says a number of something done. What stands before it is the test harness's.
const DONE: &str = "done ";

/// One is killed at most so much later than it was started or, while it works, has first done something.
const WITHIN: Duration = Duration::from_millis(40);

/// A test of this binary in a process of its own.
#[derive(Debug)]
pub struct Victim {
    child: Child,
    said: BufReader<ChildStdout>,
}

/// What a victim is to do: the numbers from `first` on, as worker `worker`, at `place`.
#[derive(Debug)]
pub struct Work {
    pub place: String,
    pub worker: u64,
    pub first: u64,
}

impl Work {
    /// `None` in the process that runs the tests, where there is nothing to do.
    pub fn given() -> Option<Self> {
        let given = env::var(WORK).ok()?;
        let mut parts = given.splitn(3, ' ');
        let mut number = || parts.next()?.parse().ok();
        let (worker, first) = (number()?, number()?);
        let place = parts.next()?.to_owned();
        Some(Self {
            place,
            worker,
            first,
        })
    }

    /// Says that this number is done, which from now on must hold.
    pub fn is_done(number: u64) -> io::Result<()> {
        writeln!(io::stdout(), "{DONE}{number}")
    }
}

impl Victim {
    /// `test` is the path of a test that goes on until it is killed.
    pub fn start(test: &str, place: impl Display, worker: u64, first: u64) -> anyhow::Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .args(["--exact", "--nocapture", test])
            .env(WORK, format!("{worker} {first} {place}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let stdout = child.stdout.take().context("it has no standard output")?;
        let said = BufReader::new(stdout);
        Ok(Self { child, said })
    }

    /// Kills it: somewhere in its start, or somewhere after the first thing that it has done.
    /// Gives the last number that it said, `None` if it came to none.
    pub fn kill(mut self, in_its_start: bool) -> anyhow::Result<Option<u64>> {
        let mut last = None;
        while !in_its_start && last.is_none() {
            let mut line = String::new();
            let ended = self.said.read_line(&mut line)? == 0;
            ensure!(!ended, "it ended by itself");
            last = number(&line);
        }
        let micros = uuid::Uuid::new_v4().as_u128() % WITHIN.as_micros();
        thread::sleep(Duration::from_micros(u64::try_from(micros)?));
        self.child.kill()?;
        self.child.wait()?;
        let mut rest = String::new();
        self.said.read_to_string(&mut rest)?;
        let mut said = rest.split_inclusive('\n').filter_map(number);
        Ok(said.next_back().or(last))
    }
}

/// Of a whole line; one that was cut off may say another number.
fn number(line: &str) -> Option<u64> {
    let (_, number) = line.strip_suffix('\n')?.split_once(DONE)?;
    number.parse().ok()
}
