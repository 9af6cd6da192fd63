//! Two rankings made one: words that lift, reciprocal ranks, or weighted scores. Pure functions over what the legs found.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::str::FromStr;

/// What a rank counts less with the next: as in the paper (Cormack, Clarke and Buettcher, 2009), and in most engines since.
const RRF_K: f32 = 60.0;
/// How the rankings of a hybrid search become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fusion {
    /// The vector ranks, and a text that holds every word of the question is lifted: by as much as lies between the last candidate and the first
    /// if it scores what a text of average length does that holds each word once, by less if it scores less. Where more texts than `k` hold them all, the words tell nothing and the vector ranks alone; words that no text holds are
    /// not asked for. For questions whose words are right: it costs the fewest of the nearest rows. If fewer rows than `k` have a vector that
    /// may answer, it is `Weighted`.
    #[default]
    Lift,
    /// Reciprocal ranks: a hit's score is the sum of `1 / (60 + rank)` over the legs that found it. For questions some of whose words may be
    /// wrong: a text with some of them counts as much as a near vector.
    Rrf,
    /// Scores of each leg between its least (0) and its greatest (1) hit, weighted: see [`Search::vector_weight`](crate::Search::vector_weight).
    Weighted,
}

impl fmt::Display for Fusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lift => "lift",
            Self::Rrf => "rrf",
            Self::Weighted => "weighted",
        })
    }
}

impl FromStr for Fusion {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        match s {
            "lift" => Ok(Self::Lift),
            "rrf" => Ok(Self::Rrf),
            "weighted" => Ok(Self::Weighted),
            other => {
                Err(Error::invalid(format!("fusion {other:?} is not known; use one of lift, rrf, weighted")))
            }
        }
    }
}

impl Fusion {
    /// The vector leg's share of the score, where it is not given.
    pub(crate) fn vector_weight(self) -> f32 {
        if self == Self::Lift { 0.5 } else { 0.7 }
    }
}

/// What two legs found: their rows and scores, the best first, none twice.
pub(crate) struct Legs<'a, T> {
    pub(crate) vector: &'a [(f32, T)],
    pub(crate) text: &'a [(f32, T)],
    /// What a text of average length scores that holds all words once.
    pub(crate) plain: f32,
    /// The vector leg's score of a row that only words have found, if the row has a vector.
    pub(crate) near: &'a dyn Fn(T) -> Option<f32>,
}

/// The score of each row that a leg found.
pub(crate) fn fuse<T: Copy + Eq + Hash>(
    fusion: Fusion,
    vector_weight: f32,
    legs: &Legs<'_, T>,
) -> HashMap<T, f32> {
    match fusion {
        Fusion::Lift => lifted(vector_weight, legs),
        Fusion::Rrf | Fusion::Weighted => summed(fusion, vector_weight, legs),
    }
}

fn lifted<T: Copy + Eq + Hash>(vector_weight: f32, legs: &Legs<'_, T>) -> HashMap<T, f32> {
    let Legs { vector, text, plain, near } = *legs;
    let (least, most) = ends(vector);
    let place = |score: f32| if most > least { ((score - least) / (most - least)).max(0.0) } else { 1.0 };
    let mut fused: HashMap<T, f32> =
        vector.iter().map(|(score, row)| (*row, vector_weight * place(*score))).collect();
    for (score, row) in text {
        let share = if plain > 0.0 { (score / plain).min(1.0) } else { 1.0 };
        let of_vector = || vector_weight * near(*row).map_or(0.0, place);
        *fused.entry(*row).or_insert_with(of_vector) += (1.0 - vector_weight) * share;
    }
    fused
}

fn summed<T: Copy + Eq + Hash>(fusion: Fusion, vector_weight: f32, legs: &Legs<'_, T>) -> HashMap<T, f32> {
    let mut fused = HashMap::new();
    for (leg, weight) in [(legs.vector, vector_weight), (legs.text, 1.0 - vector_weight)] {
        let (least, most) = ends(leg);
        for (nth, (score, row)) in leg.iter().enumerate() {
            let value = match fusion {
                Fusion::Rrf => 1.0 / (RRF_K + (nth + 1) as f32),
                _ if most > least => weight * (score - least) / (most - least),
                _ => weight,
            };
            *fused.entry(*row).or_insert(0.0) += value;
        }
    }
    fused
}

/// The least and the greatest score of a leg.
fn ends<T>(leg: &[(f32, T)]) -> (f32, f32) {
    (leg.last().map_or(0.0, |hit| hit.0), leg.first().map_or(0.0, |hit| hit.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'a, T>(vector: &'a [(f32, T)], text: &'a [(f32, T)]) -> Legs<'a, T> {
        Legs { vector, text, plain: 6.0, near: &|_| None }
    }

    fn assert_scores(fused: &HashMap<char, f32>, expected: &[(char, f32)]) {
        assert_eq!(fused.len(), expected.len(), "{fused:?}");
        for (row, value) in expected {
            assert!((fused[row] - value).abs() < 1e-6, "{row}: {} instead of {value}", fused[row]);
        }
    }

    #[test]
    fn ranks_and_scores_are_summed_over_legs() {
        let (vector, text) = ([(0.9, 'a'), (0.5, 'b'), (0.4, 'c')], [(12.0, 'b'), (2.0, 'd')]);
        let ranks = [('a', 1.0 / 61.0), ('b', 1.0 / 62.0 + 1.0 / 61.0), ('c', 1.0 / 63.0), ('d', 1.0 / 62.0)];
        assert_scores(&fuse(Fusion::Rrf, 0.7, &of(&vector, &text)), &ranks);
        let scores = [('a', 0.7), ('b', 0.7 * 0.2 + 0.3), ('c', 0.0), ('d', 0.0)];
        assert_scores(&fuse(Fusion::Weighted, 0.7, &of(&vector, &text)), &scores);
    }

    #[test]
    fn a_text_with_every_word_is_lifted_by_what_it_scores_up_to_a_plain_match() {
        let vector = [(0.9, 'a'), (0.7, 'b'), (0.5, 'c')];
        let text = [(12.0, 'x'), (6.0, 'b'), (3.0, 'y'), (3.0, 'z')];
        // Of the rows that only words have found one is as near as the second, one is further than the last, one has no vector.
        let near = |row| match row {
            'x' => Some(0.7),
            'y' => Some(0.1),
            _ => None,
        };
        let legs = Legs { near: &near, ..of(&vector, &text) };
        let expected =
            [('a', 0.5), ('b', 0.25 + 0.5), ('c', 0.0), ('x', 0.25 + 0.5), ('y', 0.25), ('z', 0.25)];
        assert_scores(&fuse(Fusion::Lift, 0.5, &legs), &expected);
        assert_scores(&fuse(Fusion::Lift, 0.5, &of(&vector, &[])), &[('a', 0.5), ('b', 0.25), ('c', 0.0)]);
    }

    #[test]
    fn a_leg_of_equals_or_of_nothing_does_no_harm() {
        let same = fuse(Fusion::Weighted, 0.25, &of(&[(3.0, 1), (3.0, 2)], &[]));
        assert_eq!((same[&1], same[&2]), (0.25, 0.25));
        let same = fuse(Fusion::Lift, 0.5, &of(&[(3.0, 1), (3.0, 2)], &[(0.0, 2)]));
        assert_eq!((same[&1], same[&2]), (0.5, 0.5));
        for fusion in [Fusion::Lift, Fusion::Rrf, Fusion::Weighted] {
            assert!(fuse::<u32>(fusion, 0.7, &of(&[], &[])).is_empty());
            assert_eq!(fusion.to_string().parse::<Fusion>().unwrap(), fusion);
        }
        assert!("best".parse::<Fusion>().unwrap_err().to_string().contains("lift, rrf, weighted"));
    }
}
