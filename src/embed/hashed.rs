//! Vectors from the letters of a text alone: hashed words, pairs of words and pieces of words.
//!
//! It is lexical, and says so in its name: texts are near that share words or parts of words. It knows no meaning, so "car" and
//! "automobile" have nothing in common; it needs no model, no network and no memory, and gives the same vector everywhere for ever. Owns
//! that promise: a test holds some of its numbers still.

use super::Embedder;
use crate::config::within;
use crate::error::{Error, Result};
use std::collections::HashMap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Below, words fall on each other; above, it is a waste.
const DIM_MIN: usize = 64;
const DIM_MAX: usize = 4_096;
/// Letters of a piece of a word.
const PIECE_MIN: usize = 3;
const PIECE_MAX: usize = 5;
/// Weights of what is hashed. A word counts more than its pieces together do when only one of them is shared.
const WORD: f32 = 1.0;
const PAIR: f32 = 0.7;
const PIECE: f32 = 0.35;
/// Each kind is hashed by itself: the word "the" and the piece "the" are different things.
const WORD_SEED: u64 = 1;
const PAIR_SEED: u64 = 2;
const PIECE_SEED: u64 = 3;
/// Words shorter than this carry little.
const LETTERS_FULL: usize = 6;

/// The embedder that is always there: feature hashing, of unit length, the same on every machine.
#[derive(Clone, Debug)]
pub struct Hashed {
    dim: usize,
    model: String,
}

impl Default for Hashed {
    fn default() -> Self {
        Self::named(512)
    }
}

impl Hashed {
    /// Vectors of `dim` numbers, 64 to 4,096; 512 is the default.
    pub fn new(dim: usize) -> Result<Self> {
        within("dim", dim, DIM_MIN, DIM_MAX, "512 is the default")?;
        Ok(Self::named(dim))
    }

    fn named(dim: usize) -> Self {
        Self { dim, model: format!("nearfield-hashed-{dim}") }
    }

    fn vector(&self, text: &str) -> Result<Vec<f32>> {
        let mut counts: HashMap<u64, (u32, f32)> = HashMap::new();
        let mut count = |seed: u64, what: &str, weight: f32| {
            let entry = counts.entry(xxh3_64_with_seed(what.as_bytes(), seed)).or_insert((0, weight));
            entry.0 += 1;
        };
        let mut before = String::new();
        for word in words(text) {
            let letters = word.chars().count();
            let weight = letters.min(LETTERS_FULL) as f32 / LETTERS_FULL as f32;
            count(WORD_SEED, &word, WORD * weight);
            if !before.is_empty() {
                count(PAIR_SEED, &format!("{before} {word}"), PAIR * weight);
            }
            pieces(&word, |piece| count(PIECE_SEED, piece, PIECE * weight));
            before = word;
        }
        let mut vector = vec![0.0f64; self.dim];
        // Sums of floats depend on their order, and a map has none.
        let mut counts: Vec<(u64, (u32, f32))> = counts.into_iter().collect();
        counts.sort_unstable_by_key(|(hash, _)| *hash);
        for (hash, (times, weight)) in counts {
            let sign = if hash >> 63 == 0 { 1.0 } else { -1.0 };
            // A root is rounded alike on every machine; a logarithm is not.
            vector[(hash % self.dim as u64) as usize] += sign * f64::from(weight) * f64::from(times).sqrt();
        }
        let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
        if length == 0.0 {
            return Err(Error::invalid("a text without a letter or digit has no vector; leave it out"));
        }
        Ok(vector.into_iter().map(|x| (x / length) as f32).collect())
    }
}

impl Embedder for Hashed {
    fn model(&self) -> &str {
        &self.model
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        texts.iter().map(|text| self.vector(text)).collect()
    }
}

/// Runs of letters and digits, in lower case; `camelCase` is two words.
fn words(text: &str) -> impl Iterator<Item = String> {
    let mut words = Vec::new();
    for run in text.split(|c: char| !c.is_alphanumeric()).filter(|run| !run.is_empty()) {
        let (mut word, mut was_lower) = (String::new(), false);
        for c in run.chars() {
            if was_lower && c.is_uppercase() {
                words.push(std::mem::take(&mut word));
            }
            was_lower = c.is_lowercase();
            word.extend(c.to_lowercase());
        }
        words.push(word);
    }
    words.into_iter()
}

/// All runs of three to five letters of a word that is set in marks, so that beginnings and ends count as such.
fn pieces(word: &str, mut found: impl FnMut(&str)) {
    let marked = format!("<{word}>");
    let bounds: Vec<usize> = marked.char_indices().map(|(at, _)| at).chain([marked.len()]).collect();
    for letters in PIECE_MIN..=PIECE_MAX {
        for (from, to) in bounds.iter().zip(bounds.iter().skip(letters)) {
            found(&marked[*from..*to]);
        }
    }
}
