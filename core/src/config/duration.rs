//! Lengths of time as people write them: `250ms`, `5s`, `1m 30s`, `24h`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// A positive length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeSpan(SignedDuration);

/// Text that is no positive length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a length of time: write a positive number with a unit, such as 250ms, 5s, 1m or 24h"
)]
pub struct InvalidTimeSpan(String);

impl TimeSpan {
    /// As the standard library's type.
    pub fn as_duration(self) -> Duration {
        self.0.unsigned_abs()
    }
}

impl TryFrom<Duration> for TimeSpan {
    type Error = InvalidTimeSpan;

    fn try_from(value: Duration) -> Result<Self, InvalidTimeSpan> {
        let signed = SignedDuration::try_from(value).unwrap_or(SignedDuration::ZERO);
        if signed.is_positive() {
            Ok(Self(signed))
        } else {
            Err(InvalidTimeSpan(format!("{value:?}")))
        }
    }
}

impl FromStr for TimeSpan {
    type Err = InvalidTimeSpan;

    fn from_str(text: &str) -> Result<Self, InvalidTimeSpan> {
        match text.parse::<SignedDuration>() {
            Ok(span) if span.is_positive() => Ok(Self(span)),
            _ => Err(InvalidTimeSpan(text.to_owned())),
        }
    }
}

impl TryFrom<String> for TimeSpan {
    type Error = InvalidTimeSpan;

    fn try_from(text: String) -> Result<Self, InvalidTimeSpan> {
        text.parse()
    }
}

impl From<TimeSpan> for String {
    fn from(span: TimeSpan) -> String {
        span.to_string()
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_people_write() {
        let millis = |text: &str| text.parse::<TimeSpan>().unwrap().as_duration().as_millis();
        assert_eq!(millis("250ms"), 250);
        assert_eq!(millis("5s"), 5_000);
        assert_eq!(millis("1m 30s"), 90_000);
        assert_eq!(millis("24h"), 86_400_000);
    }

    #[test]
    fn refuses_what_is_no_positive_time() {
        for text in ["", "5", "0s", "-1s", "soon", "5 parsecs"] {
            assert!(text.parse::<TimeSpan>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn survives_being_written_and_read(nanos in 1_u64..) {
            let span = TimeSpan::try_from(Duration::from_nanos(nanos)).unwrap();
            prop_assert_eq!(span.to_string().parse::<TimeSpan>().unwrap(), span);
        }
    }
}
