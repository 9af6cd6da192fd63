//! Two rankings made one: reciprocal ranks, or weighted scores. Pure functions over what the legs found.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::str::FromStr;

/// What a rank counts less with the next: as in the paper (Cormack, Clarke and Buettcher, 2009), and in most engines since.
const RRF_K: f32 = 60.0;
/// The vector leg's share of a weighted score.
pub(crate) const VECTOR_WEIGHT: f32 = 0.7;

/// How the rankings of a hybrid search become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fusion {
    /// Reciprocal ranks: a hit's score is the sum of `1 / (60 + rank)` over the legs that found it. It asks for no scale that both legs share.
    #[default]
    Rrf,
    /// Scores of each leg between its least (0) and its greatest (1) hit, weighted: see [`Search::vector_weight`](crate::Search::vector_weight).
    Weighted,
}

impl fmt::Display for Fusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(if *self == Self::Rrf { "rrf" } else { "weighted" })
    }
}

impl FromStr for Fusion {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        match s {
            "rrf" => Ok(Self::Rrf),
            "weighted" => Ok(Self::Weighted),
            other => Err(Error::invalid(format!("fusion {other:?} is not known; use one of rrf, weighted"))),
        }
    }
}

/// The score of each row that a leg found. Each leg: its rows and their scores, the best first, none twice.
pub(crate) fn fuse<T: Copy + Eq + Hash>(
    fusion: Fusion,
    vector_weight: f32,
    vector: &[(f32, T)],
    text: &[(f32, T)],
) -> HashMap<T, f32> {
    let mut fused = HashMap::new();
    for (leg, weight) in [(vector, vector_weight), (text, 1.0 - vector_weight)] {
        let (least, most) = (leg.last().map_or(0.0, |hit| hit.0), leg.first().map_or(0.0, |hit| hit.0));
        for (nth, (score, row)) in leg.iter().enumerate() {
            let value = match fusion {
                Fusion::Rrf => 1.0 / (RRF_K + (nth + 1) as f32),
                Fusion::Weighted if most > least => weight * (score - least) / (most - least),
                Fusion::Weighted => weight,
            };
            *fused.entry(*row).or_insert(0.0) += value;
        }
    }
    fused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_and_scores_are_summed_over_legs() {
        let (vector, text) = ([(0.9, 'a'), (0.5, 'b'), (0.4, 'c')], [(12.0, 'b'), (2.0, 'd')]);
        let close = |fused: &HashMap<char, f32>, row: char, value: f32| {
            assert!((fused[&row] - value).abs() < 1e-6, "{row}: {} instead of {value}", fused[&row]);
        };
        let rrf = fuse(Fusion::Rrf, 0.7, &vector, &text);
        for (row, value) in
            [('a', 1.0 / 61.0), ('b', 1.0 / 62.0 + 1.0 / 61.0), ('c', 1.0 / 63.0), ('d', 1.0 / 62.0)]
        {
            close(&rrf, row, value);
        }
        let weighted = fuse(Fusion::Weighted, 0.7, &vector, &text);
        for (row, value) in [('a', 0.7), ('b', 0.7 * 0.2 + 0.3), ('c', 0.0), ('d', 0.0)] {
            close(&weighted, row, value);
        }
    }

    #[test]
    fn a_leg_of_equals_or_of_nothing_does_no_harm() {
        let same = fuse(Fusion::Weighted, 0.25, &[(3.0, 1), (3.0, 2)], &[]);
        assert_eq!((same[&1], same[&2]), (0.25, 0.25));
        assert!(fuse::<u32>(Fusion::Rrf, 0.7, &[], &[]).is_empty());
        assert_eq!("rrf".parse::<Fusion>().unwrap(), Fusion::Rrf);
        assert!("best".parse::<Fusion>().unwrap_err().to_string().contains("rrf, weighted"));
    }
}
