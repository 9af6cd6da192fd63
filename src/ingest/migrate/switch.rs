//! The name goes to the filled collection, and back; and what is left over is dropped.
//!
//! Both happen while nobody writes to either collection (`engine/turns.rs`): after a last pass that is short, because the one before it was
//! short. Invariants: what was acknowledged under the name is in the collection that gets it, or nothing has changed; a switch that
//! would leave rows behind is refused unless it is told to; nothing is dropped that only the dropped collection has, unless it is told to.

use super::fill::{Filler, MigrationOptions, MigrationState, MigrationStatus, Pass, Tell};
use super::{Migration, PAGE, TOLD};
use crate::config::within;
use crate::embed::Embedder;
use crate::engine::{Alike, Collection, Turns};
use crate::error::{Error, ErrorKind, Result, excerpt};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// How often a last pass may find too much before somebody must write less.
const ROUNDS: usize = 20;

/// When a switch may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwitchOptions {
    /// How it fills what is lacking still.
    pub fill: MigrationOptions,
    /// Rows that are embedded while writes wait: 0 to 2,048. Default: 64.
    pub last_rows_max: usize,
    /// Rows may stay behind that have no text, or that the model refuses. Default: false.
    pub incomplete: bool,
}

impl Default for SwitchOptions {
    fn default() -> Self {
        Self { fill: MigrationOptions::default(), last_rows_max: 64, incomplete: false }
    }
}

/// What a switch did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Switched {
    /// The name that was given.
    pub name: String,
    /// What is called so now was called this.
    pub next: String,
    /// What was called so is called this now.
    pub old: String,
    /// What the mirror's database calls the new one, in a store that has a mirror.
    pub in_database: Option<String>,
    /// How far the new one was filled.
    pub status: MigrationStatus,
    /// How long writes waited, in microseconds.
    pub held_us: u64,
}

/// What one collection has and another does not, by what callers stored: ids, texts, metadata, documents, tenants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differences {
    /// Rows that only the first has, or has otherwise.
    pub changed: usize,
    /// The first thousand of them.
    pub changed_ids: Vec<String>,
    /// Rows with a text that only the second has.
    pub deleted: usize,
    /// The first thousand of them.
    pub deleted_ids: Vec<String>,
    /// Rows without a text that only the second has.
    pub without_text: usize,
}

/// What undoing a switch did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undone {
    /// The name that was given back.
    pub name: String,
    /// What was called so is called this now.
    pub next: String,
    /// Writes since the switch, which the collection that has the name again lacks. They stand in the other one.
    pub lacks: Differences,
}

/// What was dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Its name.
    pub name: String,
    /// Its rows.
    pub rows: usize,
    /// What the mirror's database calls it, in a store that has a mirror: there it stays until it is dropped there, too.
    pub in_database: Option<String>,
}

impl Migration {
    /// Gives the name to the filled collection, in one commit, after a last pass while writes wait. What has the name until then is kept
    /// under another. A conflict if the filled one lacks rows that could not be embedded, unless `options` allow it; then and after every other error
    /// nothing has changed but that more is filled. Neither the embedder nor `tell` may write to the two collections: they would wait for
    /// themselves.
    pub fn switch(
        &self,
        embedder: &dyn Embedder,
        options: &SwitchOptions,
        tell: &mut dyn FnMut(&MigrationStatus) -> bool,
    ) -> Result<Switched> {
        within("last_rows_max", options.last_rows_max, 0, 2_048, "64 is the default")?;
        let (from, into) = (self.from()?, self.filled()?);
        if let Some(lacks) = [&from, &into].into_iter().find(|collection| collection.is_filling()) {
            let message = format!(
                "collection {:?} lacks rows of the mirror's database: wait until it has all",
                lacks.name()
            );
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        if self.store.open_collection(&self.old).is_ok() {
            let message = format!(
                "collection {} is there: drop what an earlier switch has left, or name another to keep it under",
                excerpt(&self.old)
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let mut filler = Filler::new(from.clone(), into.clone(), embedder, options.fill, self.rate.clone())?;
        for _ in 0..ROUNDS {
            match filler.run(options.last_rows_max, tell)? {
                MigrationState::Done | MigrationState::Behind => {}
                MigrationState::Spent => return Err(unfinished("its tokens are used up")),
                _ => return Err(unfinished("it was stopped")),
            }
            let turns = Turns::of(&from, &into)?;
            let began = Instant::now();
            if !last_pass(&mut filler, &turns, options.last_rows_max, tell)? {
                continue;
            }
            let status = filler.status();
            if !options.incomplete {
                refuse_gaps(&status)?;
            }
            turns.rename([&self.old, &self.name])?;
            return Ok(Switched {
                name: self.name.clone(),
                next: status.next.clone(),
                old: self.old.clone(),
                in_database: name_there(&into),
                status: MigrationStatus { state: MigrationState::Done, ..status },
                held_us: began.elapsed().as_micros() as u64,
            });
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            format!(
                "collection {:?} is written to faster than its rows are embedded: write less for a while, or let more rows wait for the switch \
                 (last_rows_max, now {})",
                self.name, options.last_rows_max
            ),
        ))
    }

    /// Gives the name back to what had it before the switch. A conflict if that lacks what was written since, unless `yes`; what was written
    /// stays in the other collection, which is the one to be filled again.
    pub fn undo(&self, yes: bool) -> Result<Undone> {
        let (now, old) = (self.from()?, self.kept()?);
        let next = self.next.clone();
        let next = next.unwrap_or_else(|| self.store.free_name(&format!("{}.next", self.name), Some(&now)));
        let turns = Turns::of(&now, &old)?;
        let lacks = Differences::between(&now, &old)?;
        if !yes && lacks.changed + lacks.deleted > 0 {
            let message = format!(
                "{:?} lacks what was written since the switch: {} rows came or changed, {} went; say yes to leave them in {next:?}",
                self.old, lacks.changed, lacks.deleted
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        turns.rename([&next, &self.name])?;
        Ok(Undone { name: self.name.clone(), next, lacks })
    }

    /// What the collection that has the name has and the kept one does not, and the other way round.
    pub fn differences(&self) -> Result<Differences> {
        Differences::between(&self.from()?, &self.kept()?)
    }

    /// Drops what was kept. A conflict if it has rows that the collection with the name never got, unless `yes`.
    pub fn drop_old(&self, yes: bool) -> Result<Dropped> {
        let (now, old) = (self.from()?, self.kept()?);
        let lacks = Differences::between(&now, &old)?;
        if !yes && lacks.without_text > 0 {
            let message = format!(
                "{} rows of {:?} have no text and stand nowhere else; say yes to drop them, too",
                lacks.without_text, self.old
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        self.drop_one(&old, &self.old)
    }

    /// Drops what was filled and not switched: the migration is given up.
    pub fn drop_next(&self) -> Result<Dropped> {
        self.drop_one(&self.filled()?, &self.next_name())
    }

    fn drop_one(&self, collection: &Collection, name: &str) -> Result<Dropped> {
        let dropped = Dropped {
            name: name.to_owned(),
            rows: collection.sizes().0,
            in_database: name_there(collection),
        };
        self.store.drop_collection(name)?;
        Ok(dropped)
    }
}

impl Differences {
    fn between(one: &Collection, other: &Collection) -> Result<Self> {
        let mut found = Self::default();
        let mut at = 0;
        loop {
            let apart = one.lacking(other, Alike::Content, at, PAGE)?;
            found.changed += apart.lacking.len();
            let room = TOLD.saturating_sub(found.changed_ids.len());
            found.changed_ids.extend(apart.lacking.into_iter().take(room).map(|row| row.chunk.id));
            at = apart.next;
            if apart.is_last {
                break;
            }
        }
        let mut at = Some(0);
        while let Some(slot) = at {
            let (beyond, next) = other.beyond(one, false, slot, PAGE)?;
            for row in beyond {
                if !row.has_text {
                    found.without_text += 1;
                    continue;
                }
                found.deleted += 1;
                if found.deleted_ids.len() < TOLD {
                    found.deleted_ids.push(row.id.as_str().to_owned());
                }
            }
            at = next;
        }
        Ok(found)
    }
}

/// Whether the second collection holds all that it can of the first, while nobody writes.
fn last_pass(filler: &mut Filler<'_>, turns: &Turns<'_>, max: usize, tell: Tell<'_>) -> Result<bool> {
    match filler.forward(Some(turns), max, tell)? {
        Pass::Through(_) => {}
        Pass::TooMany => return Ok(false),
        Pass::Spent => return Err(unfinished("its tokens are used up")),
        Pass::Stopped => return Err(unfinished("it was stopped")),
    }
    if !filler.is_level() {
        filler.backward(Some(turns))?;
    }
    // Only a mirror's versions come meanwhile.
    filler.was_overtaken |= !filler.adds_up();
    Ok(!filler.was_overtaken)
}

fn refuse_gaps(status: &MigrationStatus) -> Result<()> {
    let MigrationStatus { without_text, refused, .. } = *status;
    if without_text + refused == 0 {
        return Ok(());
    }
    let first = status
        .refused_rows
        .first()
        .map(|row| format!(", the first of them {}: {}", excerpt(&row.id), row.why));
    let message = format!(
        "{without_text} rows have no text and {refused} were refused{}: nothing was switched; give them a text that the model takes, or allow \
         an incomplete switch, which leaves those without a text in the old collection alone",
        first.unwrap_or_default()
    );
    Err(Error::new(ErrorKind::Conflict, message))
}

fn unfinished(why: &str) -> Error {
    let message = format!("nothing was switched, because {why}; what was filled is there: call it again");
    Error::new(ErrorKind::Unavailable, message)
}

/// What a mirror's database calls the collection, if there is one.
fn name_there(collection: &Collection) -> Option<String> {
    collection.is_mirrored().then(|| collection.inner().mirror_name().to_string())
}
