//! Vectors from a model that runs in this process: a sentence encoder of the BERT kind (MiniLM, BGE, GTE, E5), read from a folder.
//!
//! Owns the folder's reading (`config`, `tensors`, `vocabulary`), the way from text to tokens (`normal`, `wordpiece`), the network and its
//! threads. Invariants:
//! - no file of the folder is believed: shapes, offsets and sizes are checked before memory is taken, and what is wrong is an error;
//! - a text's vector depends on the text alone, to the last bit: not on what is embedded beside it, nor on how many threads there are;
//! - two models, or two ways to read one, have different names, because the name holds a hash of all that decides about a vector;
//! - no thread outlives a call.
//!
//! Knows no network address: nothing is ever downloaded.

mod config;
mod files;
mod network;
mod normal;
mod options;
mod tensors;
#[cfg(test)]
mod tests;
mod vocabulary;
mod wordpiece;

pub use options::LocalOptions;

use super::Embedder;
use crate::error::{Error, ErrorKind, Result};
use config::Shape;
use network::{Network, Scratch};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use wordpiece::WordPiece;
use xxhash_rust::xxh3::Xxh3;

/// Tokens that go through the network together: enough for the weights to be read once for many of them, few enough for what is
/// between the layers to stay in the cache.
const BATCH_TOKENS: usize = 256;

/// A sentence encoder in a folder: `config.json`, `model.safetensors`, `tokenizer.json` or `vocab.txt`, and how its tokens become
/// one vector (`modules.json`, `1_Pooling/config.json`), as sentence-transformers saves it.
///
/// A text of more than [`tokens_max`](Embedder::tokens_max) tokens is embedded by its beginning, as the model's authors do it, unless
/// [`LocalOptions::refuse_long`] says otherwise.
#[derive(Debug)]
pub struct LocalEmbedder {
    model: String,
    options: LocalOptions,
    shape: Shape,
    words: WordPiece,
    network: Network,
}

/// A text's tokens, or why it has none.
type Tokens = Result<Vec<u32>>;

impl LocalEmbedder {
    /// Reads the model in `folder`.
    pub fn open(folder: impl AsRef<Path>, options: LocalOptions) -> Result<Self> {
        let folder = folder.as_ref();
        options.validate()?;
        if !folder.is_dir() {
            let message =
                format!("{} is no folder: name the one that the model's files are in", folder.display());
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        let mut shape = Shape::read(folder)?;
        if let Some(max) = options.max_tokens {
            shape.tokens_max = shape.tokens_max.min(max);
        }
        let mut hash = Xxh3::new();
        shape.hash(&mut hash);
        let words = vocabulary::read(folder, shape.vocabulary)?;
        words.hash(&mut hash);
        let network = Network::read(folder, &shape, &mut hash)?;
        let name = match &options.name {
            Some(name) => name.clone(),
            None => files::name(folder),
        };
        let model = format!("{name}@{:012x}", hash.digest() >> 16);
        crate::config::within(
            "the model's name in bytes",
            model.len(),
            1,
            crate::limits::ID_BYTES_MAX,
            "name it",
        )?;
        Ok(Self { model, options, shape, words, network })
    }

    /// How many tokens `text` has, with the two that stand around it.
    pub fn tokens(&self, text: &str) -> usize {
        self.words.encode(text, usize::MAX).ids.len()
    }

    fn encode(&self, text: &str) -> Tokens {
        let encoded = self.words.encode(text, self.shape.tokens_max);
        if encoded.cut && self.options.refuse_long {
            let (has, max) = (self.tokens(text), self.shape.tokens_max);
            return Err(Error::invalid(format!(
                "the text has {has} tokens and {} takes {max}: cut it into smaller chunks",
                self.model
            )));
        }
        Ok(encoded.ids)
    }

    /// The vectors of all texts that have tokens, as they come out of the network.
    fn run(&self, tokens: &[Tokens]) -> Vec<Vec<f32>> {
        let texts: Vec<&[u32]> = tokens.iter().flatten().map(Vec::as_slice).collect();
        let batches = batches(&texts);
        let next = AtomicUsize::new(0);
        let work = || {
            let (mut scratch, mut done) = (Scratch::default(), Vec::new());
            while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                let vectors = self.network.embed(&self.shape, &texts[batch.clone()], &mut scratch);
                done.push((batch.start, vectors));
            }
            done
        };
        let helpers = self.options.threads.min(batches.len()).saturating_sub(1);
        let mut done = std::thread::scope(|scope| {
            let spawn =
                |_| std::thread::Builder::new().name("nearfield-model".into()).spawn_scoped(scope, work).ok();
            // A thread that cannot be had is missed by nobody: whoever is there takes the next batch.
            let threads: Vec<_> = (0..helpers).filter_map(spawn).collect();
            let mut done = work();
            done.extend(threads.into_iter().filter_map(|thread| thread.join().ok()).flatten());
            done
        });
        done.sort_unstable_by_key(|(start, _)| *start);
        let vectors: Vec<Vec<f32>> = done.into_iter().flat_map(|(_, vectors)| vectors).collect();
        // Of a thread that panicked a batch is missing, and all behind it would be another text's.
        if vectors.len() == texts.len() { vectors } else { Vec::new() }
    }
}

/// Neighbours that go through the network together.
fn batches(texts: &[&[u32]]) -> Vec<Range<usize>> {
    let (mut batches, mut start, mut tokens) = (Vec::new(), 0, 0);
    for (at, text) in texts.iter().enumerate() {
        if tokens > 0 && tokens + text.len() > BATCH_TOKENS {
            batches.push(start..at);
            (start, tokens) = (at, 0);
        }
        tokens += text.len();
    }
    if start < texts.len() {
        batches.push(start..texts.len());
    }
    batches
}

impl Embedder for LocalEmbedder {
    fn model(&self) -> &str {
        &self.model
    }

    fn dim(&self) -> usize {
        self.shape.hidden
    }

    fn tokens_max(&self) -> Option<usize> {
        Some(self.shape.tokens_max)
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        self.embed_each(texts).into_iter().collect()
    }

    fn embed_each(&self, texts: &[&str]) -> Vec<Result<Vec<f32>>> {
        let tokens: Vec<Tokens> = texts.iter().map(|text| self.encode(text)).collect();
        let mut vectors = self.run(&tokens).into_iter();
        let vector = |tokens: Tokens| {
            tokens.and_then(|_| match vectors.next() {
                Some(vector) if vector.iter().all(|x| x.is_finite()) => Ok(vector),
                Some(_) => Err(Error::invalid(format!(
                    "{} makes numbers of this text that are not finite: its weights are damaged or too great",
                    self.model
                ))),
                None => Err(Error::new(ErrorKind::Internal, "a text got no vector; please report this")),
            })
        };
        tokens.into_iter().map(vector).collect()
    }
}
