//! How a command ends: what it prints on standard error, and its exit code.

use std::io::Write as _;
use std::process::ExitCode;

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It could not be done: exit code 1.
    Failed(anyhow::Error),
    /// What was given is wrong: exit code 2. One message for each thing that is wrong.
    Invalid(Vec<String>),
}

impl Failure {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(vec![message.into()])
    }

    /// Of a process that was asked to end twice, and did not take its time over it.
    #[cfg(any(feature = "control-plane", feature = "data-plane"))]
    pub(crate) fn second_signal(signal: &str) -> Self {
        Self::Failed(anyhow::anyhow!("ended by a second {signal}"))
    }

    /// Prints the messages, each behind `error:`, and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let mut out = std::io::stderr().lock();
        // Nobody is left to tell where standard error is closed.
        let mut print = |message: &str| drop(writeln!(out, "error: {message}"));
        match self {
            Self::Failed(error) => {
                print(&format!("{error:#}"));
                ExitCode::from(1)
            }
            Self::Invalid(messages) => {
                messages.iter().for_each(|message| print(message));
                ExitCode::from(2)
            }
        }
    }
}

/// Says on standard error what a person should know, where standard output is for the result.
#[cfg(all(feature = "control-plane", feature = "data-plane"))]
pub(crate) fn note(message: &str) {
    // Nobody is left to tell where standard error is closed.
    drop(writeln!(std::io::stderr(), "{message}"));
}

/// Says on standard error what is done and may still go wrong.
#[cfg(all(feature = "control-plane", feature = "data-plane"))]
pub(crate) fn warn(message: &str) {
    // Nobody is left to tell where standard error is closed.
    drop(writeln!(std::io::stderr(), "warning: {message}"));
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}
