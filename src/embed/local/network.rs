//! The encoder: tokens in, one vector for each text out.
//!
//! Texts go through one after another without padding: products of matrices run over the tokens of all, attention over those of one. So
//! nothing has to be masked, and no text sees another. Knows no file format, and no letters.

use super::config::{Pooling, Shape};
use super::files::bad;
use super::tensors::Tensors;
use crate::error::{ErrorKind, Result};
use crate::kernels::{Left, Matrix, Right};
use std::path::Path;
use xxhash_rust::xxh3::Xxh3;

/// The weights.
pub(super) struct Network {
    /// A row for each token of the vocabulary.
    words: Vec<f32>,
    /// A row for each place, with what every token of a first sentence gets besides.
    places: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
    kernels: &'static Matrix,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network").field("layers", &self.layers.len()).finish_non_exhaustive()
    }
}

struct Layer {
    /// Queries, keys and values of all heads, side by side.
    asked: Linear,
    mixed: Linear,
    mixed_norm: Norm,
    wide: Linear,
    narrow: Linear,
    narrow_norm: Norm,
}

struct Linear {
    weights: Right,
    bias: Vec<f32>,
}

struct Norm {
    scale: Vec<f32>,
    shift: Vec<f32>,
    epsilon: f32,
}

/// Memory of one thread, used again.
#[derive(Default)]
pub(super) struct Scratch {
    left: Left,
    right: Right,
    state: Vec<f32>,
    asked: Vec<f32>,
    mixed: Vec<f32>,
    scores: Vec<f32>,
    wide: Vec<f32>,
}

impl Network {
    /// Reads all weights that `shape` asks for.
    pub(super) fn read(folder: &Path, shape: &Shape, hash: &mut Xxh3) -> Result<Self> {
        let path = folder.join("model.safetensors");
        let tensors = Tensors::open(&path).map_err(|e| match e.kind() {
            ErrorKind::NotFound => {
                bad(&path, "there is none; models are read from one file of that name: save it as such")
            }
            _ => e,
        })?;
        let prefix = if tensors.has("bert.embeddings.word_embeddings.weight") { "bert." } else { "" };
        let mut reader = Reader { tensors, prefix, shape, hash };
        let words = reader.rows("embeddings.word_embeddings", shape.vocabulary)?;
        let mut places = reader.rows("embeddings.position_embeddings", shape.positions)?;
        let kinds = reader.rows("embeddings.token_type_embeddings", shape.kinds)?;
        for place in places.chunks_exact_mut(shape.hidden) {
            place.iter_mut().zip(&kinds).for_each(|(x, y)| *x += y);
        }
        let norm = reader.norm("embeddings")?;
        let layers = (0..shape.layers).map(|n| reader.layer(n)).collect::<Result<_>>()?;
        Ok(Self { words, places, norm, layers, kernels: Matrix::best() })
    }

    /// One vector for each text. A text is at least one token, at most as many as there are places, each of the vocabulary.
    pub(super) fn embed(&self, shape: &Shape, texts: &[&[u32]], scratch: &mut Scratch) -> Vec<Vec<f32>> {
        self.look_up(shape, texts, &mut scratch.state);
        for layer in &self.layers {
            self.layer(shape, layer, texts, scratch);
        }
        let mut rest = scratch.state.as_slice();
        let pool = |text: &&[u32]| {
            let (own, after) = rest.split_at((text.len() * shape.hidden).min(rest.len()));
            rest = after;
            pool(shape, own)
        };
        texts.iter().map(pool).collect()
    }

    fn look_up(&self, shape: &Shape, texts: &[&[u32]], state: &mut Vec<f32>) {
        state.clear();
        for text in texts {
            for (token, place) in text.iter().zip(self.places.chunks_exact(shape.hidden)) {
                let word = self.words.chunks_exact(shape.hidden).nth(*token as usize).unwrap_or_default();
                let at = state.len();
                state.extend(word.iter().zip(place).map(|(x, y)| x + y));
                self.norm.apply(self.kernels, &mut state[at..]);
            }
        }
    }

    fn layer(&self, shape: &Shape, layer: &Layer, texts: &[&[u32]], scratch: &mut Scratch) {
        let (hidden, kernels) = (shape.hidden, self.kernels);
        let rows = scratch.state.len() / hidden;
        let Scratch { left, right, state, asked, mixed, scores, wide } = scratch;

        left.pack(state, hidden, rows, hidden);
        size(asked, rows * 3 * hidden);
        layer.asked.set(kernels, left, asked);

        size(mixed, rows * hidden);
        let mut row = 0;
        for text in texts {
            for head in 0..shape.heads {
                let own =
                    Head { row, rows: text.len(), at: head * shape.head(), width: shape.head(), hidden };
                own.attend(kernels, asked, left, right, scores, mixed);
            }
            row += text.len();
        }
        left.pack(mixed, hidden, rows, hidden);
        layer.mixed.add(kernels, left, state);
        state.chunks_exact_mut(hidden).for_each(|row| layer.mixed_norm.apply(kernels, row));

        left.pack(state, hidden, rows, hidden);
        size(wide, rows * shape.inner);
        layer.wide.set(kernels, left, wide);
        kernels.gelu(wide);
        left.pack(wide, shape.inner, rows, shape.inner);
        layer.narrow.add(kernels, left, state);
        state.chunks_exact_mut(hidden).for_each(|row| layer.narrow_norm.apply(kernels, row));
    }
}

/// One head of attention over one text.
struct Head {
    row: usize,
    rows: usize,
    /// Where it begins in a row of queries, and how wide it is.
    at: usize,
    width: usize,
    hidden: usize,
}

impl Head {
    fn attend(
        &self,
        kernels: &Matrix,
        asked: &[f32],
        left: &mut Left,
        right: &mut Right,
        scores: &mut Vec<f32>,
        mixed: &mut [f32],
    ) {
        let Self { row, rows, at, width, hidden } = *self;
        let stride = 3 * hidden;
        let from = |part: usize| &asked[row * stride + part * hidden + at..];
        left.pack(from(0), stride, rows, width);
        right.pack_columns(from(1), stride, rows, width);
        size(scores, rows * rows);
        let scale = 1.0 / (width as f32).sqrt();
        kernels.product(left, right, |row, column, sums| {
            let place = &mut scores[row * rows + column..];
            place.iter_mut().zip(sums).for_each(|(place, sum)| *place = sum * scale);
        });
        scores.chunks_exact_mut(rows.max(1)).for_each(|row| kernels.softmax(row));
        left.pack(scores, rows, rows, rows);
        right.pack_rows(from(2), stride, width, rows);
        kernels.product(left, right, |own, column, sums| {
            mixed[(row + own) * hidden + at + column..][..sums.len()].copy_from_slice(sums);
        });
    }
}

impl Linear {
    /// `out = left * weights + bias`.
    fn set(&self, kernels: &Matrix, left: &Left, out: &mut [f32]) {
        self.each(kernels, left, out, |place, x| *place = x);
    }

    /// `out += left * weights + bias`.
    fn add(&self, kernels: &Matrix, left: &Left, out: &mut [f32]) {
        self.each(kernels, left, out, |place, x| *place += x);
    }

    fn each(&self, kernels: &Matrix, left: &Left, out: &mut [f32], put: impl Fn(&mut f32, f32)) {
        let width = self.bias.len();
        kernels.product(left, &self.weights, |row, column, sums| {
            let places = &mut out[row * width + column..];
            for ((place, sum), bias) in places.iter_mut().zip(sums).zip(&self.bias[column..]) {
                put(place, sum + bias);
            }
        });
    }
}

impl Norm {
    fn apply(&self, kernels: &Matrix, row: &mut [f32]) {
        kernels.layer_norm(row, &self.scale, &self.shift, self.epsilon);
    }
}

fn size(numbers: &mut Vec<f32>, n: usize) {
    numbers.clear();
    numbers.resize(n, 0.0);
}

/// Makes one vector of those of a text's tokens.
fn pool(shape: &Shape, rows: &[f32]) -> Vec<f32> {
    let mut vector = match shape.pooling {
        Pooling::First => rows.iter().take(shape.hidden).copied().collect(),
        Pooling::Mean => {
            let mut sums = vec![0.0f32; shape.hidden];
            for row in rows.chunks_exact(shape.hidden) {
                sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
            }
            let count = (rows.len() / shape.hidden).max(1) as f32;
            sums.iter_mut().for_each(|sum| *sum /= count);
            sums
        }
    };
    if shape.normalized {
        let length = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt().max(1e-12);
        vector.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    }
    vector
}

/// Reads weights by their names, and takes each into the hash.
struct Reader<'a> {
    tensors: Tensors,
    prefix: &'static str,
    shape: &'a Shape,
    hash: &'a mut Xxh3,
}

impl Reader<'_> {
    fn read(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let mut name = format!("{}{name}", self.prefix);
        if !self.tensors.has(&name) {
            // What was converted from TensorFlow has the older names.
            let old = name
                .replace("LayerNorm.weight", "LayerNorm.gamma")
                .replace("LayerNorm.bias", "LayerNorm.beta");
            if self.tensors.has(&old) {
                name = old;
            }
        }
        let numbers = self.tensors.read(&name, shape)?;
        for part in numbers.chunks(1_024) {
            let bytes: Vec<u8> = part.iter().flat_map(|x| x.to_le_bytes()).collect();
            self.hash.update(&bytes);
        }
        Ok(numbers)
    }

    fn rows(&mut self, name: &str, rows: usize) -> Result<Vec<f32>> {
        self.read(&format!("{name}.weight"), &[rows, self.shape.hidden])
    }

    fn norm(&mut self, of: &str) -> Result<Norm> {
        let hidden = self.shape.hidden;
        Ok(Norm {
            scale: self.read(&format!("{of}.LayerNorm.weight"), &[hidden])?,
            shift: self.read(&format!("{of}.LayerNorm.bias"), &[hidden])?,
            epsilon: self.shape.epsilon,
        })
    }

    /// Several of equal size become one, side by side.
    fn linear(&mut self, names: &[String], out: usize, depth: usize) -> Result<Linear> {
        let (mut all, mut bias) = (Vec::new(), Vec::new());
        for name in names {
            all.append(&mut self.read(&format!("{name}.weight"), &[out, depth])?);
            bias.append(&mut self.read(&format!("{name}.bias"), &[out])?);
        }
        let mut weights = Right::default();
        weights.pack_columns(&all, depth, bias.len(), depth);
        Ok(Linear { weights, bias })
    }

    fn layer(&mut self, n: usize) -> Result<Layer> {
        let (hidden, inner) = (self.shape.hidden, self.shape.inner);
        let own = |name: &str| format!("encoder.layer.{n}.{name}");
        let asked = ["query", "key", "value"].map(|part| own(&format!("attention.self.{part}")));
        Ok(Layer {
            asked: self.linear(&asked, hidden, hidden)?,
            mixed: self.linear(&[own("attention.output.dense")], hidden, hidden)?,
            mixed_norm: self.norm(&own("attention.output"))?,
            wide: self.linear(&[own("intermediate.dense")], inner, hidden)?,
            narrow: self.linear(&[own("output.dense")], hidden, inner)?,
            narrow_norm: self.norm(&own("output"))?,
        })
    }
}
