//! Who answers: connect, measure the database by what is remembered, agree on collections, and find a place to begin.
//!
//! Invariants: nothing is read from a standby (M10); a database that is not the remembered one changes nothing here before a person
//! or a full comparison has spoken (M11); collections of two shapes write nothing to each other (M18).

use super::cursor::Cursor;
use super::guards::{Meeting, Remembered, meet};
use super::memory::{Ignored, Known};
use super::remote::{Database, Fault, FaultClass, Reading, Remote, RemoteCollection};
use super::sides::Sides;
use super::trouble::Step;
use crate::config::Schema;
use crate::engine::tap::TapCollection;
use std::collections::BTreeMap;

impl<R: Remote> Sides<R> {
    /// After this the database is known, or the fault is.
    pub(super) async fn greet(&mut self) -> Step<()> {
        self.database = None;
        let database = self.remote.look(self.node()).await?;
        self.counts.statements += 1;
        if database.is_standby {
            let message = "the server is a standby; connect to the primary".to_owned();
            return Err(Fault { class: FaultClass::Demoted, code: None, message, remedy: None }.into());
        }
        self.tap.set_seed(database.digest_seed);
        self.recognize(&database)?;
        self.memory.identity = Some(database.identity.clone());
        if self.resend {
            self.send_again()?;
        }
        self.agree().await?;
        self.begin().await?;
        self.persist()?;
        self.looked_ms = self.now_ms();
        self.database = Some(database);
        self.backoff.succeed();
        Ok(())
    }

    fn recognize(&mut self, database: &Database) -> Step<()> {
        let remembered = Remembered {
            identity: self.memory.identity.as_ref(),
            acked: self.memory.acked,
            sent: self.memory.sent,
            has_clean: self.has_clean()?,
        };
        match meet(&remembered, database) {
            Meeting::Same => {}
            Meeting::First => {
                self.start_over();
                self.memory.lack();
            }
            Meeting::WentBack => {
                self.start_over();
                self.resend = true;
            }
            Meeting::Stop(block) => return Err(block.into()),
        }
        Ok(())
    }

    /// What is here is to be compared with the database anew.
    pub(super) fn start_over(&mut self) {
        self.memory.distrust();
        self.memory.acked = None;
        // Nothing is done before it was greeted again.
        self.database = None;
        self.window_deletes.clear();
        self.window_seq = None;
        self.horizons.clear();
        self.stamps.clear();
    }

    /// Whether anything here is a copy of what the database once had.
    fn has_clean(&self) -> Step<bool> {
        Ok(self.collections()?.iter().any(|c| c.rows() > c.dirty().rows))
    }

    /// Acknowledged rows that the database may have lost become dirty again (M12). Once more is no harm.
    fn send_again(&mut self) -> Step<()> {
        for (name, ids) in self.retention.ids() {
            if let Some(collection) = self.find(&name)? {
                collection.soil(&ids, false)?;
            }
        }
        self.resend = false;
        Ok(())
    }

    /// Each side learns of the other's collections.
    async fn agree(&mut self) -> Step<()> {
        self.forget_dropped()?;
        let theirs = self.remote.collections().await?;
        let mut here: BTreeMap<String, Schema> =
            self.tap.collections()?.iter().map(|c| (c.name().to_owned(), c.schema())).collect();
        for RemoteCollection { name, schema } in theirs {
            if !self.covers(&name) {
                here.remove(&name);
                // It may have been, before its name went to another. Compared anew should it be again.
                self.memory.collections.remove(&name);
                continue;
            }
            let ours = here.remove(&name);
            let known = self.memory.collections.get(&name);
            let ignored = match (&ours, known) {
                (Some(ours), _) => mismatch(ours, &schema).map(Ignored::Mismatch),
                // It was here, and somebody dropped it.
                (None, Some(_)) => Some(Ignored::Dropped),
                (None, None) => self.tap.collection(&name, &schema).map(|_| None)?,
            };
            let rows =
                self.tap.collections()?.iter().find(|c| c.name() == name).map_or(0, TapCollection::rows);
            self.settle_on(name, ignored, self.may_lack(rows))?;
        }
        for (name, schema) in here {
            if !self.covers(&name) {
                self.memory.collections.remove(&name);
                continue;
            }
            let declared = self.remote.declare(&RemoteCollection { name: name.clone(), schema }).await;
            let ignored = match declared {
                Ok(()) => None,
                Err(fault) if fault.class == FaultClass::Schema => Some(Ignored::Mismatch(fault.message)),
                Err(fault) => return Err(fault.into()),
            };
            // The database has no row of what it did not know.
            self.settle_on(name, ignored, false)?;
        }
        self.tell_filling()?;
        Ok(())
    }

    /// What is known of a collection that was dropped here is not true of another one of its name: that one has nothing yet.
    fn forget_dropped(&mut self) -> Step<()> {
        for collection in self.tap.collections()? {
            let (name, number) = (collection.name(), collection.number());
            let Some(known) = self.memory.collections.get_mut(name) else { continue };
            if known.number.replace(number).is_some_and(|was| was != number) {
                *known = Known { number: Some(number), lacks: true, ..Known::default() };
                self.filled.remove(name);
                self.letters.forget(name);
                self.stamps.remove(name);
                self.nameless.remove(name);
                self.asked.retain(|(of, _)| of != name);
            }
        }
        Ok(())
    }

    fn number_of(&self, name: &str) -> Step<Option<u32>> {
        Ok(self.tap.collections()?.iter().find(|c| c.name() == name).map(TapCollection::number))
    }

    fn settle_on(&mut self, name: String, ignored: Option<Ignored>, lacks: bool) -> Step<()> {
        let number = self.number_of(&name)?;
        let met = || Known { lacks, ..Known::default() };
        let known = self.memory.collections.entry(name).or_insert_with(met);
        if known.ignored.is_some() {
            // It was left alone for a while, and the feed went on without it.
            *known = met();
        }
        known.ignored = ignored;
        known.number = number.or(known.number);
        Ok(())
    }

    /// Without a cursor the feed begins now: what was before is compared, or filled in.
    async fn begin(&mut self) -> Step<()> {
        if self.memory.cursor.is_none() {
            let reading = self.remote.read().await?;
            self.memory.cursor = Some(Cursor::at(reading.snapshot().clone()));
            reading.finish().await?;
        }
        Ok(())
    }
}

/// Why rows of one cannot be rows of the other.
fn mismatch(ours: &Schema, theirs: &Schema) -> Option<String> {
    let (name, here, there) = if ours.dim != theirs.dim {
        ("dim", ours.dim.to_string(), theirs.dim.to_string())
    } else if ours.metric != theirs.metric {
        ("metric", ours.metric.to_string(), theirs.metric.to_string())
    } else {
        return None;
    };
    Some(format!("{name} is {here} here and {there} in the database; drop one of them"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Metric;

    #[test]
    fn shapes_differ_by_what_a_row_is_and_not_by_how_it_is_searched() {
        let s = |dim| Schema::new(dim, Metric::L2);
        assert_eq!(mismatch(&s(3), &s(3).m(8).ef_construction(64)), None);
        assert!(mismatch(&s(3), &s(4)).unwrap().contains("dim is 3 here and 4"));
        assert!(mismatch(&s(3), &Schema::new(3, Metric::Dot)).unwrap().contains("metric is l2 here and dot"));
    }
}
