//! Medians and percentiles.

use std::time::Duration;

/// The middle one; of an even number, the mean of the two in the middle.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get(sorted.len() / 2 - 1)?;
    Some(f64::midpoint(lower, upper))
}

/// The smallest value that at least `per_mille` of a thousand are not above; the values are sorted.
pub fn percentile(sorted: &[Duration], per_mille: usize) -> Option<Duration> {
    let rank = (sorted.len() * per_mille).div_ceil(1000).max(1);
    sorted.get(rank - 1).copied()
}

pub(super) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let sorted: Vec<_> = (1..=1000).map(Duration::from_micros).collect();
        for (per_mille, micros) in [(500, 500), (900, 900), (999, 999), (1000, 1000), (0, 1)] {
            let expected = Duration::from_micros(micros);
            assert_eq!(percentile(&sorted, per_mille), Some(expected));
        }
        assert_eq!(percentile(&sorted[..1], 999), Some(sorted[0]));
        assert_eq!(percentile(&[], 500), None);
    }
}
