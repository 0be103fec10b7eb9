//! Shares as people write them: `10%` or `0.1`.

use std::str::FromStr;

/// From 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Share(f64);

impl Share {
    pub(super) fn as_f64(self) -> f64 {
        self.0
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, whole) = match text.strip_suffix('%') {
            Some(percent) => (percent.trim_end(), 100.0),
            None => (text, 1.0),
        };
        let share = number.parse::<f64>().map(|number| number / whole);
        match share {
            Ok(share) if (0.0..=1.0).contains(&share) => Ok(Self(share)),
            _ => Err("is no share: write it such as 10% or 0.1, at most 100%".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_percentage_or_a_fraction() {
        let share = |text: &str| text.parse::<Share>().map(Share::as_f64).ok();
        for (text, expected) in [
            ("10%", 0.1),
            ("0.1", 0.1),
            ("100%", 1.0),
            ("1", 1.0),
            ("0 %", 0.0),
        ] {
            assert_eq!(share(text), Some(expected), "{text}");
        }
        for text in ["", "%", "10", "-1%", "101%", "NaN", "ten"] {
            assert_eq!(share(text), None, "{text}");
        }
    }
}
