//! The local model against its reference, and against folders that lie.
//!
//! `tests/local_model/files` holds two small models with random weights, texts, and what sentence-transformers makes of them
//! (`make_files.py` beside them says how). With `NEARFIELD_MINILM` set to a folder of all-MiniLM-L6-v2 the real model is compared, too.

mod hostile;
mod reference;

use super::{LocalEmbedder, LocalOptions};
use std::path::{Path, PathBuf};

fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/local_model/files")
}

fn open(name: &str) -> LocalEmbedder {
    LocalEmbedder::open(files().join(name), LocalOptions::default()).unwrap()
}

/// Texts of `name`, the tokens that the reference makes of each, and its vectors.
fn expected(name: &str, dim: usize) -> (Vec<String>, Vec<Vec<u32>>, Vec<Vec<f32>>) {
    let rows = std::fs::read(files().join(format!("{name}.json"))).unwrap();
    let rows: Vec<(String, Vec<u32>)> = serde_json::from_slice(&rows).unwrap();
    let bytes = std::fs::read(files().join(format!("{name}.f32"))).unwrap();
    let numbers: Vec<f32> = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let (texts, tokens) = rows.into_iter().unzip();
    (texts, tokens, numbers.chunks(dim).map(<[f32]>::to_vec).collect())
}
