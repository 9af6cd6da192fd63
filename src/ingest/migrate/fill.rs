//! The second collection gets what it lacks of the first, pass by pass: all rows, then what came since, until little does.
//!
//! What is to be done is told by the rows of both: a row that is there, of the same text and by the same model, is done. So a fill that is
//! killed and begun again embeds nothing twice, and writes to the first collection are followed wherever they fall. A row that is written
//! takes a slot behind all others: a pass goes on where the one before ended.

use super::{Migration, PAGE, TOLD};
use crate::config::{Metric, Schema, within};
use crate::embed::{Embedder, estimate_tokens};
use crate::engine::{Ack, Alike, CHANGED, Collection, Lacking, Turns};
use crate::error::{Error, ErrorKind, Result, excerpt};
use crate::ids::{ChunkId, Ver};
use crate::ingest::backfill::pace::Pace;
use crate::ingest::{ParkedRow, TokenRate};
use crate::record::Chunk;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Passes after which one need not find nothing.
const PASSES: u32 = 3;
/// Passes of one call.
const PASSES_MAX: u32 = 100;
/// How long a pace is waited for without a word.
const NAP: Duration = Duration::from_millis(50);

/// How fast, and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MigrationOptions {
    /// Rows that are embedded and stored together: 1 to 2,048. Default: 256.
    pub batch: usize,
    /// Tokens a second at most, by estimate. Default: no limit.
    pub tokens_per_s: Option<u64>,
    /// Tokens in all; then it ends. Default: no limit.
    pub tokens_max: Option<u64>,
    /// The metric of the second collection, if it is made. Default: that of the first.
    pub metric: Option<Metric>,
}

impl Default for MigrationOptions {
    fn default() -> Self {
        Self { batch: 256, tokens_per_s: None, tokens_max: None, metric: None }
    }
}

impl MigrationOptions {
    fn validate(&self) -> Result<()> {
        within("batch", self.batch, 1, 2_048, "256 is the default")
    }
}

/// What a fill does now, or how it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MigrationState {
    /// It embeds.
    #[default]
    Working,
    /// The last pass found little.
    Done,
    /// Rows come as fast as they are embedded: the last pass found as much as the one before. The next call goes on.
    Behind,
    /// It has used all its tokens.
    Spent,
    /// It was stopped.
    Stopped,
}

/// How far the second collection is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MigrationStatus {
    /// What it does now.
    pub state: MigrationState,
    /// The second collection.
    pub next: String,
    /// Rows of the first collection.
    pub rows: usize,
    /// Those of them that have their new vector.
    pub filled: usize,
    /// The share of rows that have one; 1 for none.
    pub coverage: f64,
    /// Rows without a text, which cannot get one. They stay in the first collection alone.
    pub without_text: usize,
    /// The first thousand of them.
    pub without_text_ids: Vec<String>,
    /// Rows that the model, or the collection, refuses: they stand in the second collection without a vector.
    pub refused: usize,
    /// The first thousand of them that this call met.
    pub refused_rows: Vec<ParkedRow>,
    /// Texts that this call embedded.
    pub embedded: u64,
    /// Their tokens, by estimate.
    pub tokens: u64,
    /// Rows that this call stored with the vector that their text had: something else of them had changed.
    pub renewed: u64,
    /// Rows that this call removed, because the first collection has them no longer.
    pub removed: u64,
    /// Passes of this call.
    pub passes: u32,
}

/// Who hears how far it is, and says whether to go on.
pub(super) type Tell<'t> = &'t mut dyn FnMut(&MigrationStatus) -> bool;

/// What came of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// So many rows were lacking.
    Through(usize),
    /// More were lacking than it was to store.
    TooMany,
    Spent,
    Stopped,
}

pub(super) struct Filler<'e> {
    pub(super) from: Collection,
    pub(super) into: Collection,
    embedder: &'e dyn Embedder,
    options: MigrationOptions,
    pace: Pace,
    rate: Option<TokenRate>,
    status: MigrationStatus,
    /// Versions that were refused, and why.
    refused: BTreeMap<String, (Ver, String)>,
    textless: BTreeSet<String>,
    /// Where the next pass begins.
    slot: u32,
    /// Somebody else wrote to the second collection: all of it is to be looked at again.
    pub(super) was_overtaken: bool,
}

impl Migration {
    /// Fills the second collection, which is made if it is not there: until a pass finds little to do. `tell` is called after every batch and
    /// says whether to go on. An embedder that is away, or a full disk, is an error: what was embedded is stored, and the next call
    /// goes on from there.
    pub fn fill(
        &self,
        embedder: &dyn Embedder,
        options: MigrationOptions,
        tell: &mut dyn FnMut(&MigrationStatus) -> bool,
    ) -> Result<MigrationStatus> {
        options.validate()?;
        let from = self.from()?;
        let into = self.open_next(&from, embedder, options.metric)?;
        let mut filler = Filler::new(from, into, embedder, options, self.rate.clone())?;
        let state = filler.run(options.batch, tell)?;
        filler.status.state = state;
        Ok(filler.status())
    }

    fn open_next(
        &self,
        from: &Collection,
        embedder: &dyn Embedder,
        metric: Option<Metric>,
    ) -> Result<Collection> {
        refuse_own_model(from, embedder)?;
        let metric = metric.unwrap_or(from.schema().metric);
        let name = self.next_name();
        match self.next_if_there()? {
            Some(next) => Ok(next),
            None => {
                let embedding = self.profile.clone();
                let mut schema = Schema { dim: embedder.dim(), metric, embedding, ..from.schema().clone() };
                if metric != from.schema().metric {
                    schema.graph = Schema::new(schema.dim, metric).graph;
                }
                self.store.create_collection(&name, schema)
            }
        }
    }
}

/// A collection whose vectors are of the model already is no subject: most likely it was switched, and the command came again.
fn refuse_own_model(from: &Collection, embedder: &dyn Embedder) -> Result<()> {
    if from.schema().dim != embedder.dim() {
        return Ok(());
    }
    let sample = from.sample(64, 0)?;
    let is_own = |chunk: &Chunk| chunk.embedding_model.as_deref() == Some(embedder.model());
    if !sample.is_empty() && sample.iter().all(is_own) {
        let message = format!(
            "the vectors of collection {:?} are of model {} already: it was switched before, or there is nothing to do",
            from.name(),
            excerpt(embedder.model())
        );
        return Err(Error::new(ErrorKind::Conflict, message));
    }
    Ok(())
}

impl<'e> Filler<'e> {
    pub(super) fn new(
        from: Collection,
        into: Collection,
        embedder: &'e dyn Embedder,
        options: MigrationOptions,
        rate: Option<TokenRate>,
    ) -> Result<Self> {
        options.validate()?;
        let dim = into.schema().dim;
        if dim != embedder.dim() {
            let message = format!(
                "model {} makes vectors of {} numbers, collection {:?} has {dim}: use the model that it was begun with, or drop it",
                excerpt(embedder.model()),
                embedder.dim(),
                into.name()
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let pace = Pace::new(options.tokens_per_s, Instant::now());
        let status = MigrationStatus { next: into.name().to_owned(), ..MigrationStatus::default() };
        let (refused, textless) = Default::default();
        let filler = Self {
            from,
            into,
            embedder,
            options,
            pace,
            rate,
            status,
            refused,
            textless,
            slot: 0,
            was_overtaken: false,
        };
        filler.refuse_strangers()?;
        Ok(filler)
    }

    /// A collection that holds somebody's own rows must not be taken for one that is being filled: they would be removed.
    fn refuse_strangers(&self) -> Result<()> {
        let mut at = Some(0);
        while let Some(slot) = at {
            let (beyond, next) = self.into.beyond(&self.from, false, slot, PAGE)?;
            let is_ours = |model: Option<&str>, has_vector: bool| match model {
                Some(model) => model == self.embedder.model(),
                None => !has_vector,
            };
            if let Some(row) =
                beyond.iter().find(|row| !is_ours(row.embedding_model.as_deref(), row.has_vector))
            {
                let message = format!(
                    "collection {:?} holds rows that are not of {:?} and not of this model, {} among them: name another one to fill, or drop it",
                    self.into.name(),
                    self.from.name(),
                    excerpt(row.id.as_str())
                );
                return Err(Error::new(ErrorKind::Conflict, message));
            }
            at = next;
        }
        Ok(())
    }

    /// Passes until one finds nothing; after some passes, no more than `little`, or about as much as the one before: writes keep pace.
    pub(super) fn run(&mut self, little: usize, tell: Tell<'_>) -> Result<MigrationState> {
        let mut before = usize::MAX;
        for nth in 1..=PASSES_MAX {
            let lacking = match self.forward(None, usize::MAX, tell)? {
                Pass::Through(lacking) => lacking,
                Pass::Spent => return Ok(MigrationState::Spent),
                Pass::Stopped | Pass::TooMany => return Ok(MigrationState::Stopped),
            };
            let removed = self.backward(None)?;
            self.status.passes += 1;
            let found = lacking + removed;
            let is_enough = found <= little || found > before / 2;
            if !self.was_overtaken && (found == 0 || nth >= PASSES && is_enough) {
                let is_little = found <= little;
                return Ok(if is_little { MigrationState::Done } else { MigrationState::Behind });
            }
            before = found;
        }
        Ok(MigrationState::Behind)
    }

    /// What came since the last pass, of the first collection. With `turns` nobody else writes meanwhile. It stores at most `max` rows, or none
    /// of a page.
    pub(super) fn forward(&mut self, turns: Option<&Turns<'_>>, max: usize, tell: Tell<'_>) -> Result<Pass> {
        if std::mem::take(&mut self.was_overtaken) {
            self.slot = 0;
        }
        // What is written meanwhile is the next pass's: whoever writes faster than this embeds would keep it from ever ending.
        let end = self.from.next_slot();
        let mut found = 0;
        loop {
            let model = self.embedder.model();
            let apart = self.from.lacking(&self.into, Alike::Embedded(model), self.slot, PAGE)?;
            self.textless.extend(apart.textless);
            let mut lacking: Vec<Lacking> =
                apart.lacking.into_iter().filter(|row| !self.is_refused(row)).collect();
            found += lacking.len();
            if found > max {
                return Ok(Pass::TooMany);
            }
            while !lacking.is_empty() {
                let rest = lacking.split_off(lacking.len().min(self.options.batch));
                let batch = std::mem::replace(&mut lacking, rest);
                match self.batch(batch, turns, tell)? {
                    Pass::Through(0) => {}
                    Pass::Through(_) => self.was_overtaken = true,
                    ended => return Ok(ended),
                }
                if !tell(&self.status()) {
                    return Ok(Pass::Stopped);
                }
            }
            self.slot = apart.next;
            if apart.is_last || (turns.is_none() && apart.next >= end) {
                return Ok(Pass::Through(found));
            }
        }
    }

    /// What went from the first collection goes from the second: how many.
    pub(super) fn backward(&mut self, turns: Option<&Turns<'_>>) -> Result<usize> {
        let (mut at, mut removed) = (Some(0), 0);
        while let Some(slot) = at {
            let (beyond, next) = self.into.beyond(&self.from, true, slot, PAGE)?;
            if !beyond.is_empty() {
                removed += beyond.len();
                let gone = beyond.into_iter().map(|row| (row.id, row.ver)).collect();
                self.store(Vec::new(), gone, turns)?;
            }
            at = next;
        }
        self.status.removed += removed as u64;
        self.textless.retain(|id| self.from.is_textless(id));
        Ok(removed)
    }

    /// Whether all that the second collection has to hold is counted there: then it holds nothing else.
    pub(super) fn is_level(&self) -> bool {
        self.textless.is_empty() && self.from.sizes().0 == self.into.sizes().0
    }

    /// Whether the second collection has as many rows as it is to have.
    pub(super) fn adds_up(&self) -> bool {
        self.from.sizes().0 == self.into.sizes().0 + self.textless.len()
    }

    pub(super) fn status(&self) -> MigrationStatus {
        let (rows, _) = self.from.sizes();
        let (there, filled) = self.into.sizes();
        let refused =
            |(id, (_, why)): (&String, &(Ver, String))| ParkedRow { id: id.clone(), why: why.clone() };
        MigrationStatus {
            rows,
            filled,
            coverage: if rows == 0 { 1.0 } else { filled.min(rows) as f64 / rows as f64 },
            without_text: self.textless.len(),
            without_text_ids: self.textless.iter().take(TOLD).cloned().collect(),
            refused: there - filled.min(there),
            refused_rows: self.refused.iter().take(TOLD).map(refused).collect(),
            ..self.status.clone()
        }
    }

    fn is_refused(&self, row: &Lacking) -> bool {
        row.only_waits && self.refused.get(&row.chunk.id).is_some_and(|(ver, _)| *ver == row.ver)
    }

    /// Embeds rows and stores them: how many were overtaken by somebody else.
    fn batch(&mut self, rows: Vec<Lacking>, turns: Option<&Turns<'_>>, tell: Tell<'_>) -> Result<Pass> {
        let texts: Vec<&str> = rows.iter().filter(|row| row.vector.is_none()).map(text).collect();
        let tokens: u64 = texts.iter().map(|text| estimate_tokens(text) as u64).sum();
        if self.options.tokens_max.is_some_and(|max| self.status.tokens + tokens > max) {
            return Ok(Pass::Spent);
        }
        let now = Instant::now();
        let ours = self.pace.takes(tokens, now);
        let until = self.rate.as_ref().map_or(ours, |rate| rate.takes(tokens, now).max(ours));
        while turns.is_none() && Instant::now() < until {
            if !tell(&self.status()) {
                return Ok(Pass::Stopped);
            }
            std::thread::sleep(NAP.min(until.saturating_duration_since(Instant::now())));
        }
        let made = if texts.is_empty() { Vec::new() } else { self.embedder.embed_each(&texts) };
        self.status.tokens += tokens;
        let (mut made, mut away) = (made.into_iter(), None);
        let (mut whole, mut plain) = (Vec::new(), Vec::new());
        for row in rows {
            let vector = match row.vector.clone() {
                Some(vector) => Ok((vector, true)),
                None => made.next().unwrap_or_else(|| Err(lost())).map(|vector| (vector, false)),
            };
            match vector {
                Ok((vector, is_old)) => whole.push((row, vector, is_old)),
                Err(e) if e.kind() == ErrorKind::Invalid => plain.push((row, e.to_string())),
                Err(e) => away = Some(e),
            }
        }
        let mut overtaken = self.store_whole(whole, &mut plain, turns)?;
        overtaken += self.store_plain(plain, turns)?;
        away.map_or(Ok(Pass::Through(overtaken)), Err)
    }

    /// Stores rows with their vectors. Those that the collection refuses go to `plain`.
    fn store_whole(
        &mut self,
        rows: Vec<(Lacking, Vec<f32>, bool)>,
        plain: &mut Vec<(Lacking, String)>,
        turns: Option<&Turns<'_>>,
    ) -> Result<usize> {
        if rows.is_empty() {
            return Ok(0);
        }
        let model = self.embedder.model();
        let chunk = |(row, vector, _): &(Lacking, Vec<f32>, bool)| {
            (row.chunk.clone().vector(vector.clone()).embedding_model(model), row.replaces)
        };
        let ack = self.store(rows.iter().map(chunk).collect(), Vec::new(), turns)?;
        let mut overtaken = 0;
        for (result, (row, _, is_old)) in ack.results.into_iter().zip(rows) {
            match result.rejected {
                None if is_old => self.status.renewed += 1,
                None => self.status.embedded += 1,
                Some(why) if why == CHANGED => overtaken += 1,
                Some(why) => plain.push((row, why)),
            }
        }
        Ok(overtaken)
    }

    /// Stores rows without a vector, and remembers why they have none.
    fn store_plain(&mut self, rows: Vec<(Lacking, String)>, turns: Option<&Turns<'_>>) -> Result<usize> {
        let waiting = rows.iter().filter(|(row, _)| !row.only_waits);
        let chunks: Vec<_> = waiting.map(|(row, _)| (row.chunk.clone(), row.replaces)).collect();
        let ack = if chunks.is_empty() { None } else { Some(self.store(chunks, Vec::new(), turns)?) };
        for (row, why) in rows {
            self.refused.insert(row.chunk.id, (row.ver, why));
        }
        let overtaken = |ack: &Ack| {
            ack.results.iter().filter(|result| result.rejected.as_deref() == Some(CHANGED)).count()
        };
        Ok(ack.as_ref().map_or(0, overtaken))
    }

    fn store(
        &self,
        chunks: Vec<(Chunk, Option<Ver>)>,
        gone: Vec<(ChunkId, Ver)>,
        turns: Option<&Turns<'_>>,
    ) -> Result<Ack> {
        match turns {
            Some(turns) => turns.replace(&self.into, chunks, gone),
            None => self.into.replace(chunks, gone),
        }
    }
}

fn text(row: &Lacking) -> &str {
    row.chunk.text.as_deref().unwrap_or_default()
}

fn lost() -> Error {
    Error::new(ErrorKind::Internal, "an embedder left a text out; please report this")
}
