//! The words of the API: what is sent, what comes back, and whether that can be true.
//!
//! Invariant: what is handed out has as many vectors as were asked for, in the order of the texts, all of the width that was
//! expected, all finite and none zero; or says which of these does not hold.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// A vector of less squared length has no direction that a cosine could be taken of.
const NORM_SQUARED_MIN: f64 = crate::limits::VECTOR_NORM_SQUARED_MIN;

#[derive(Serialize)]
pub(super) struct Question<'a> {
    pub(super) model: &'a str,
    pub(super) input: &'a [&'a str],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) encoding_format: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dimensions: Option<usize>,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    /// Services that leave it out answer in order.
    index: Option<usize>,
    embedding: Numbers,
}

struct Numbers(Vec<f32>);

/// Why an answer is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It may be better next time: half of it, or too few vectors.
    Torn(String),
    /// The model is another one than was expected.
    Width { got: usize, expected: usize },
}

/// The vectors of `texts` texts; an inner error is about one of them.
pub(super) fn parse(
    body: &[u8],
    texts: usize,
    dim: Option<usize>,
    normalized: bool,
) -> Result<Vec<Result<Vec<f32>, &'static str>>, Flaw> {
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|e| Flaw::Torn(format!("the answer is no list of embeddings: {e}")))?;
    let got = answer.data.len();
    if got != texts {
        return Err(Flaw::Torn(format!("the answer has {got} vectors for {texts} texts")));
    }
    let mut vectors: Vec<Option<Result<Vec<f32>, &'static str>>> = vec![None; texts];
    let mut expected = dim;
    for (place, Item { index, embedding: Numbers(vector) }) in answer.data.into_iter().enumerate() {
        let index = index.unwrap_or(place);
        let expected = *expected.get_or_insert(vector.len());
        if vector.len() != expected {
            return Err(Flaw::Width { got: vector.len(), expected });
        }
        match vectors.get_mut(index) {
            Some(empty @ None) => *empty = Some(sound(vector, normalized)),
            _ => return Err(Flaw::Torn(format!("the answer has index {index} twice, or beyond {texts}"))),
        }
    }
    Ok(vectors.into_iter().flatten().collect())
}

fn sound(mut vector: Vec<f32>, normalized: bool) -> Result<Vec<f32>, &'static str> {
    if vector.iter().any(|x| !x.is_finite()) {
        return Err("its vector has a number that is not finite");
    }
    let norm_sq: f64 = vector.iter().map(|x| f64::from(*x).powi(2)).sum();
    if norm_sq < NORM_SQUARED_MIN {
        return Err("its vector is zero");
    }
    if normalized {
        let length = norm_sq.sqrt();
        vector.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    }
    Ok(vector)
}

impl<'de> Deserialize<'de> for Numbers {
    /// A list of numbers, or the base64 of their bytes, whichever the service likes better.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Either)
    }
}

struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = Numbers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers, or base64 of them")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Numbers, E> {
        let bytes = STANDARD.decode(text).map_err(|_| E::custom("a vector is no base64"))?;
        let (whole, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(E::custom("a vector's bytes are no whole numbers"));
        }
        Ok(Numbers(whole.iter().map(|four| f32::from_le_bytes(*four)).collect()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Numbers, A::Error> {
        let mut numbers = Vec::new();
        // As f64, so that a number beyond an f32 is that vector's fault and not the answer's.
        while let Some(number) = list.next_element::<f64>()? {
            numbers.push(number as f32);
        }
        Ok(Numbers(numbers))
    }
}
