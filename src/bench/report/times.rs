//! Lists of times that a measurement carries beside its figures.

use serde_json::Value;

use crate::bench::Measurement;

/// How long each fail-over took, milliseconds.
pub(super) fn times_ms(found: &Measurement) -> Vec<f64> {
    let times = found.extra.get("times_ms").and_then(Value::as_array);
    times
        .into_iter()
        .flatten()
        .filter_map(Value::as_f64)
        .collect()
}

/// The smallest value that this share of `values` does not exceed; none of nothing.
pub(super) fn quantile(mut values: Vec<f64>, share: f64) -> Option<f64> {
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * share).ceil().max(1.0) as usize;
    values.get(rank - 1).copied()
}

/// The share of `values` that each of them reaches, from 0: a line that rises in steps.
pub(super) fn distribution(mut values: Vec<f64>) -> Vec<(f64, f64)> {
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    let all = values.len() as f64;
    let step =
        |(nth, value): (usize, f64)| [(value, nth as f64 / all), (value, (nth + 1) as f64 / all)];
    values.into_iter().enumerate().flat_map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_steps() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(quantile(values.clone(), 0.99), Some(99.0));
        assert_eq!(quantile(vec![5.0], 0.5), Some(5.0));
        assert_eq!(quantile(vec![f64::NAN], 0.5), None);
        assert_eq!(
            distribution(vec![2.0, 1.0]),
            [(1.0, 0.0), (1.0, 0.5), (2.0, 0.5), (2.0, 1.0)]
        );
    }
}
