//! What is logged while the control plane is away: each cause once, not at every attempt.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::mem;

use tonic::{Code, Status};
use tracing::{debug, error, info, warn};

use super::join::ControlPlane;

/// A time without a configuration stream.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// Why each control plane is not followed, as it was logged last, by its URL.
    causes: BTreeMap<Option<String>, Code>,
    /// Whose stream was the last.
    followed: Option<Option<String>>,
}

impl Outage {
    /// Logs why the stream ended, or did not come about.
    pub(super) fn report(&mut self, control_plane: &ControlPlane, status: &Status) {
        let url = &control_plane.url;
        let code = status.code();
        let reason = chain(status);
        let control_plane = url.as_deref();
        let earlier = self.causes.insert(url.clone(), code);
        // Somebody has to do something, and may look at the end of the log only.
        if matches!(code, Code::Unauthenticated | Code::PermissionDenied) {
            error!(
                control_plane,
                reason,
                "the control plane refuses this data plane: give it the join token of that control plane"
            );
        } else if earlier == Some(code) {
            debug!(control_plane, reason, "still no configuration stream");
        } else if code == Code::Unavailable {
            warn!(
                control_plane,
                reason,
                "the control plane is away; what is in force stays, and it is looked for again"
            );
        } else {
            warn!(
                control_plane,
                reason,
                ?code,
                "the configuration stream broke; what is in force stays"
            );
        }
    }

    /// Notes that a stream is there.
    pub(super) fn end(&mut self, control_plane: &ControlPlane) {
        let url = &control_plane.url;
        let control_plane = url.as_deref();
        let was_away = !mem::take(&mut self.causes).is_empty();
        let earlier = self.followed.replace(url.clone());
        match (earlier, control_plane) {
            (Some(earlier), Some(now)) if earlier.as_deref() != Some(now) => {
                info!("following the control plane {now} from now on");
            }
            _ if was_away => info!(control_plane, "the control plane is there again"),
            (None, Some(now)) => info!("following the control plane {now}"),
            _ => {}
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
    use tonic::transport::Channel;

    use super::*;

    #[tokio::test]
    async fn a_cause_is_told_once_and_the_next_outage_anew() {
        let control_plane = |url: &str| ControlPlane {
            url: Some(url.to_owned()),
            channel: Channel::from_static("http://127.0.0.1:1").connect_lazy(),
        };
        let (one, two) = (control_plane("one"), control_plane("two"));
        let cause = |outage: &Outage, of: &ControlPlane| outage.causes.get(&of.url).copied();
        let mut outage = Outage::default();
        let away = Status::unavailable("away");
        outage.report(&one, &away);
        assert_eq!(cause(&outage, &one), Some(Code::Unavailable));
        outage.report(&one, &Status::unauthenticated("no"));
        outage.report(&two, &away);
        assert_eq!(cause(&outage, &one), Some(Code::Unauthenticated));
        assert_eq!(cause(&outage, &two), Some(Code::Unavailable));
        outage.end(&two);
        assert!(outage.causes.is_empty());
    }

    #[test]
    fn the_reason_has_what_it_came_of() {
        let refused = std::io::Error::other("connection refused");
        let status = Status::from_error(Box::new(refused));
        assert!(chain(&status).contains("connection refused"), "{status:?}");
    }
}
