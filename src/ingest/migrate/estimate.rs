//! What a migration will cost, before it begins: texts, tokens, money, time, room.

use super::{Migration, PAGE, TOLD};
use crate::embed::estimate_tokens;
use crate::engine::Alike;
use crate::error::{Error, Result};
use crate::record::Chunk;
use serde::{Deserialize, Serialize};

/// Bytes around a row's body in its block's file, and of a code around its numbers.
const ROW_BYTES: usize = 24;
const BODY_BYTES: usize = 40;
const CODE_ALIGN: usize = 64;
const TERM_BYTES: usize = 8;
/// What finds an id costs about this much.
const ID_BYTES: usize = 8;

/// What tokens cost, and how many come through.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MigrationRates {
    /// Of a million tokens, in whatever currency. Default: not known.
    pub price_per_million: Option<f64>,
    /// Tokens a second of the model, or the limit that is set. Default: not known.
    pub tokens_per_s: Option<f64>,
}

/// What a migration to vectors of so many numbers takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MigrationEstimate {
    /// Rows of the collection.
    pub rows: usize,
    /// Those of them that have no text: no vector can be made for them.
    pub without_text: usize,
    /// The first thousand of those.
    pub without_text_ids: Vec<String>,
    /// Texts that have their vector already, from an earlier run with this model.
    pub filled: usize,
    /// Texts that are to be embedded.
    pub texts: usize,
    /// Their tokens, by [`estimate_tokens`].
    pub tokens: u64,
    /// What those cost, if a price is known.
    pub price: Option<f64>,
    /// Seconds that they take, if a rate is known.
    pub seconds: Option<f64>,
    /// Bytes on the disk of the second collection when it is filled, words left out; as many again stand in the log on the way.
    pub disk_bytes: u64,
    /// Bytes of memory of its vectors, codes, links and ids.
    pub memory_bytes: u64,
}

impl Migration {
    /// What it takes to fill a collection with vectors of `model`, of `dim` numbers. It reads all texts, and changes nothing.
    pub fn estimate(&self, model: &str, dim: usize, rates: &MigrationRates) -> Result<MigrationEstimate> {
        for (what, rate) in
            [("price_per_million", rates.price_per_million), ("tokens_per_s", rates.tokens_per_s)]
        {
            if let Some(rate) = rate.filter(|rate| !rate.is_finite() || *rate < 0.0) {
                return Err(Error::invalid(format!("{what} is {rate}; it must be a number of 0 or more")));
            }
        }
        let from = self.from()?;
        // Without a second collection all of the first is lacking in it: it is compared with itself, by a model that nothing is of.
        let next = self.next_if_there()?.filter(|next| next.schema().dim == dim);
        let beside = next.as_ref().unwrap_or(&from);
        let alike = if next.is_some() { Alike::Embedded(model) } else { Alike::Embedded("") };
        let mut estimate = MigrationEstimate::default();
        let (mut at, mut lacking, mut all_bodies, mut ids) = (0, 0, 0, 0);
        loop {
            let apart = from.lacking(beside, alike, at, PAGE)?;
            estimate.rows += apart.looked;
            estimate.without_text += apart.textless.len();
            let room = TOLD.saturating_sub(estimate.without_text_ids.len());
            estimate.without_text_ids.extend(apart.textless.into_iter().take(room));
            lacking += apart.lacking.len();
            for row in apart.lacking {
                let text = row.chunk.text.as_deref().unwrap_or_default();
                all_bodies += body_bytes(&row.chunk) + model.len();
                ids += row.chunk.id.len();
                if row.vector.is_none() {
                    estimate.texts += 1;
                    estimate.tokens += estimate_tokens(text) as u64;
                }
            }
            at = apart.next;
            if apart.is_last {
                break;
            }
        }
        let rows = estimate.rows - estimate.without_text;
        estimate.filled = rows - estimate.texts;
        let schema = from.schema();
        // Level 0 and the levels above it, a cell of four bytes each; twins.
        let links = (2 * schema.m + schema.m.div_ceil(15) + 1) * size_of::<u32>();
        let numbers = dim * size_of::<f32>() + dim.next_multiple_of(CODE_ALIGN) + TERM_BYTES + links;
        // Bodies of rows that are there already are as long as the others, about.
        let bodies = all_bodies.checked_div(lacking).unwrap_or(0) * rows;
        estimate.disk_bytes = (rows * (numbers + ROW_BYTES) + bodies) as u64;
        estimate.memory_bytes = (rows * (numbers + ID_BYTES) + ids) as u64;
        estimate.price = rates.price_per_million.map(|price| estimate.tokens as f64 / 1e6 * price);
        let rate = rates.tokens_per_s.filter(|rate| *rate > 0.0);
        estimate.seconds = rate.map(|rate| estimate.tokens as f64 / rate);
        Ok(estimate)
    }
}

/// Bytes of a row without its vector, about.
fn body_bytes(chunk: &Chunk) -> usize {
    let metadata = serde_json::to_string(&chunk.metadata).map_or(0, |text| text.len());
    let names = [&chunk.document_id, &chunk.tenant, &chunk.text];
    let names: usize = names.into_iter().flatten().map(String::len).sum();
    BODY_BYTES + chunk.id.len() + names + if chunk.metadata.is_empty() { 0 } else { metadata }
}
