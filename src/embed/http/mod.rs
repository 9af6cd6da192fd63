//! Vectors from a model behind an OpenAI-compatible address.
//!
//! Owns batches, their order, tries and waits, and which text is to blame. Invariants: every text has one vector or one error, in the
//! order of the texts, whatever the service does; one call ends within its patience; no more requests are under way than
//! `concurrency`; an answer of any size takes bounded memory; a redirect is not followed, because the key would go with it.
//!
//! Errors say by their kind what to do: `Invalid` is about that text alone, `Conflict` about the service's settings (key, model,
//! width), `Unavailable` passes.

mod batch;
mod client;
mod options;
mod retry;
#[cfg(test)]
mod tests;
mod wire;

pub use options::HttpOptions;

use super::{Embedder, estimate_tokens};
use crate::error::{Error, ErrorKind, Result};
use client::{Client, Failure};
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Texts refused before a single one was embedded: then it is not the texts.
const REFUSED_MAX: usize = 16;
/// Times that somebody who waits has a request sent.
const TRIES_WAITED: u32 = 2;

/// A model behind an OpenAI-compatible address.
#[derive(Debug)]
pub struct HttpEmbedder {
    options: HttpOptions,
    client: Client,
    dim: usize,
}

/// One call: what its threads share.
struct Call<'a> {
    options: &'a HttpOptions,
    texts: &'a [&'a str],
    until: Instant,
    /// Why no more requests are sent.
    over: Mutex<Option<Error>>,
    embedded: AtomicUsize,
    refused: AtomicUsize,
}

type Each = Vec<Result<Vec<f32>>>;

impl HttpEmbedder {
    /// Checks the options. Unless they name the width, one text is embedded to see it.
    pub fn new(options: HttpOptions) -> Result<Self> {
        options.validate()?;
        let client = Client::new(&options)?;
        let dim = match options.dim {
            Some(dim) => dim,
            None => {
                let until = Instant::now() + options.total;
                let seen = client.ask(&options, &["dimension"], None, until).map_err(Failure::into_error)?;
                let vector = seen.into_iter().next().and_then(std::result::Result::ok).unwrap_or_default();
                crate::config::within("dim", vector.len(), 1, crate::limits::DIM_MAX, "use another model")?;
                vector.len()
            }
        };
        Ok(Self { options, client, dim })
    }

    /// Embeds the texts of one range, splitting it as long as it is blamed.
    fn range(&self, call: &Call<'_>, range: Range<usize>, found: &mut Vec<(usize, Result<Vec<f32>>)>) {
        let mut waiting = vec![range];
        while let Some(range) = waiting.pop() {
            if let Some(over) = &*call.over.lock() {
                found.extend(range.map(|at| (at, Err(over.again()))));
                continue;
            }
            match self.client.ask(call.options, &call.texts[range.clone()], Some(self.dim), call.until) {
                Ok(vectors) => {
                    call.embedded.fetch_add(range.len(), Ordering::Relaxed);
                    let named = range.zip(vectors).map(|(at, vector)| {
                        (at, vector.map_err(|why| Error::invalid(format!("text {at} has no vector: {why}"))))
                    });
                    found.extend(named);
                }
                Err(Failure::Blamed(_)) if range.len() > 1 => {
                    let middle = range.start + range.len() / 2;
                    waiting.extend([middle..range.end, range.start..middle]);
                }
                Err(Failure::Blamed(why)) => {
                    let at = range.start;
                    let refused = call.refused.fetch_add(1, Ordering::Relaxed) + 1;
                    if refused >= REFUSED_MAX && call.embedded.load(Ordering::Relaxed) == 0 {
                        let message =
                            format!("the embedding service refuses every text; the last time: {why}");
                        call.over.lock().get_or_insert_with(|| Error::new(ErrorKind::Conflict, message));
                    }
                    found.push((at, Err(Error::invalid(format!("text {at} was refused: {why}")))));
                }
                Err(Failure::Over(error)) => {
                    found.extend(range.map(|at| (at, Err(error.again()))));
                    call.over.lock().get_or_insert(error);
                }
            }
        }
    }
}

impl Embedder for HttpEmbedder {
    fn model(&self) -> &str {
        &self.options.model
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        self.embed_each(texts).into_iter().collect()
    }

    fn embed_within(&self, texts: &[&str], patience: Duration) -> Result<Vec<Vec<f32>>> {
        let tries = self.options.tries.min(TRIES_WAITED);
        let total = self.options.total.min(patience);
        self.call(&HttpOptions { tries, total, ..self.options.clone() }, texts).into_iter().collect()
    }

    fn embed_each(&self, texts: &[&str]) -> Each {
        self.call(&self.options, texts)
    }
}

impl HttpEmbedder {
    fn call(&self, options: &HttpOptions, texts: &[&str]) -> Each {
        let tokens: Vec<usize> = texts.iter().map(|text| estimate_tokens(text)).collect();
        let batches = batch::cut(&tokens, options.batch, options.batch_tokens);
        let call = Call {
            options,
            texts,
            until: Instant::now() + options.total,
            over: Mutex::default(),
            embedded: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        };
        let next = AtomicUsize::new(0);
        let work = || {
            let mut found = Vec::new();
            while let Some(range) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.range(&call, range.clone(), &mut found);
            }
            found
        };
        let threads = options.concurrency.min(batches.len());
        let found = std::thread::scope(|scope| {
            // The caller works, too.
            let spawned: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut found = work();
            found.extend(spawned.into_iter().flat_map(|thread| thread.join().unwrap_or_default()));
            found
        });
        let lost = || Error::new(ErrorKind::Internal, "a request's thread panicked; please report this");
        let mut each: Vec<Option<Result<Vec<f32>>>> = (0..texts.len()).map(|_| None).collect();
        for (at, vector) in found {
            each[at] = Some(vector);
        }
        each.into_iter().map(|vector| vector.unwrap_or_else(|| Err(lost()))).collect()
    }
}
