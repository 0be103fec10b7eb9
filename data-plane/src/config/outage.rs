//! What is logged while the control plane is away: each cause once, not at every attempt.

use std::error::Error;
use std::fmt::Write as _;

use tonic::{Code, Status};
use tracing::{debug, error, info, warn};

/// A time without a configuration stream.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// Why, as it was logged last.
    cause: Option<Code>,
}

impl Outage {
    /// Logs why the stream ended, or did not come about.
    pub(super) fn report(&mut self, status: &Status) {
        let code = status.code();
        let reason = chain(status);
        // Somebody has to do something, and may look at the end of the log only.
        if matches!(code, Code::Unauthenticated | Code::PermissionDenied) {
            self.cause = Some(code);
            error!(
                reason,
                "the control plane refuses this data plane: give it the join token of that control plane"
            );
        } else if self.cause.replace(code) == Some(code) {
            debug!(reason, "still no configuration stream");
        } else if code == Code::Unavailable {
            warn!(
                reason,
                "the control plane is away; what is in force stays, and it is looked for again"
            );
        } else {
            warn!(
                reason,
                ?code,
                "the configuration stream broke; what is in force stays"
            );
        }
    }

    /// Notes that the stream is there.
    pub(super) fn end(&mut self) {
        if self.cause.take().is_some() {
            info!("the control plane is there again");
        }
    }
}

/// What the status says, with what it came of: a refused connection is only named there.
fn chain(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = status.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            // Writing to a string does not fail.
            write!(text, ": {said}").ok();
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once_and_the_next_outage_anew() {
        let mut outage = Outage::default();
        let away = Status::unavailable("away");
        outage.report(&away);
        assert_eq!(outage.cause, Some(Code::Unavailable));
        outage.report(&Status::unauthenticated("no"));
        assert_eq!(outage.cause, Some(Code::Unauthenticated));
        outage.end();
        assert_eq!(outage.cause, None);
    }

    #[test]
    fn the_reason_has_what_it_came_of() {
        let refused = std::io::Error::other("connection refused");
        let status = Status::from_error(Box::new(refused));
        assert!(chain(&status).contains("connection refused"), "{status:?}");
    }
}
