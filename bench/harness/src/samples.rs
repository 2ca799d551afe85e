//! Figures that were measured several times: their median, and how far they lie apart.

use serde_json::{Value, json};

/// The same figure, run by run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples(pub Vec<f64>);

impl Samples {
    /// The one in the middle, or between the two in the middle; NaN if there are none.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            odd if odd % 2 == 1 => sorted[odd / 2],
            even => (sorted[even / 2 - 1] + sorted[even / 2]) / 2.0,
        }
    }

    /// The smallest.
    pub fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The largest.
    pub fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// For the files in `results`: the median, the smallest, the largest.
    pub fn to_json(&self) -> Value {
        json!([rounded(self.median()), rounded(self.min()), rounded(self.max())])
    }
}

/// Three decimals: what is behind them was not measured.
fn rounded(figure: f64) -> f64 {
    (figure * 1e3).round() / 1e3
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(figures: I) -> Self {
        Self(figures.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_spreads() {
        let samples: Samples = [3.0, 1.0, 2.0].into_iter().collect();
        assert_eq!((samples.median(), samples.min(), samples.max()), (2.0, 1.0, 3.0));
        assert_eq!(Samples(vec![4.0, 1.0]).median(), 2.5);
        assert!(Samples::default().median().is_nan());
    }
}
