//! Searches of a collection that is still being filled: the nearest rows elsewhere, and the rows here that nobody elsewhere knows of.
//!
//! Of two versions of a row the greater counts, wherever it stands; a row that was deleted here is not found, though the deletion is
//! not known elsewhere yet. What is unsent is looked at first and the other side after: what is sent in between is found there.
//! Distances are measured here, from the rows that came, so both kinds are on one scale.
//!
//! Does not know who is asked.

use super::answer::{Explain, Hit, Include};
use super::rank::Ranked;
use super::run::Ranking;
use crate::codes::Exact;
use crate::config::Metric;
use crate::engine::collection::Collection;
use crate::engine::inner::Inner;
use crate::engine::tap::{Answer, Elsewhere, Neighbour, Pick, Question};
use crate::engine::view::View;
use crate::filter::Filter;
use crate::ids::{ChunkId, Slot};
use crate::record::{Edition, Head, Row, RowRef, Stamp};
use crate::sets::SlotBits;
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

/// Rows that are fetched beyond those asked for: the other side rounds its distances another way.
const SPARE_ROWS: usize = 8;

/// That rows are missing in a view.
pub(crate) struct Filling {
    elsewhere: Option<Arc<dyn Elsewhere>>,
    /// Rows that nobody elsewhere may know of.
    unsent: SlotBits,
    /// When whoever searches has waited for long enough.
    until: Instant,
}

impl Inner {
    /// What a search looks at.
    pub(crate) fn searched(&self) -> (Arc<View>, Option<Filling>) {
        if !self.lack.is_filling() {
            return (self.view.load_full(), None);
        }
        let now = Instant::now();
        let asked = self.lack.elsewhere().and_then(|elsewhere| Some((elsewhere.patience()?, elsewhere)));
        let Some((patience, elsewhere)) = asked else {
            let filling = Filling { elsewhere: None, unsent: SlotBits::default(), until: now };
            return (self.view.load_full(), Some(filling));
        };
        let until = now + patience;
        let (view, marks) = self.marked_view();
        let unsent = marks.dirty();
        drop(marks);
        (view, Some(Filling { elsewhere: Some(elsewhere), unsent, until }))
    }
}

/// A row that was found.
pub(crate) enum Place {
    Here(Slot),
    Elsewhere(Box<Row>),
}

impl Ranked for Place {
    fn document<'a>(&'a self, view: &'a View) -> Option<&'a str> {
        match self {
            Self::Here(slot) => slot.document(view),
            Self::Elsewhere(row) => row.payload.as_ref()?.document.as_deref(),
        }
    }

    fn vector<'a>(&'a self, view: &'a View) -> Option<&'a [f32]> {
        match self {
            Self::Here(slot) => slot.vector(view),
            Self::Elsewhere(row) => row.vector.as_deref(),
        }
    }

    fn hit(&self, inner: &Inner, view: &View, distance: f32, include: Include) -> Option<Hit> {
        match self {
            Self::Here(slot) => slot.hit(inner, view, distance, include),
            Self::Elsewhere(row) => {
                let body = RowRef::of(&row.id, row.payload.as_deref(), crate::ids::Ver(0));
                Some(Hit::of(&body, row.vector.as_deref(), inner.schema.metric, distance, include))
            }
        }
    }
}

/// A search, as far as both sides need it.
pub(crate) struct Hunt<'a> {
    pub(crate) collection: &'a Collection,
    pub(crate) view: &'a View,
    pub(crate) query: &'a [f32],
    pub(crate) filter: Option<&'a Filter>,
    /// The slots that may be answers.
    pub(crate) accepted: &'a SlotBits,
    pub(crate) wanted: usize,
    /// At most one of each document is wanted.
    pub(crate) by_document: bool,
    pub(crate) distance_max: f32,
    /// The nearest of a set of slots, so many.
    pub(crate) rank: &'a dyn Fn(&SlotBits, usize) -> Ranking,
}

impl Hunt<'_> {
    /// The nearest rows of both sides. Nothing if only this side can be asked.
    pub(crate) fn run(&self, filling: &Filling) -> Option<(Vec<(f32, Place)>, Explain)> {
        let elsewhere = filling.elsewhere.as_ref()?;
        let unsent = self.accepted.and(&filling.unsent);
        // Some may turn out to be older than what stands elsewhere.
        let mut here = (self.rank)(&unsent, self.wanted.saturating_mul(2).saturating_add(SPARE_ROWS));
        let question = self.question(here.hits.iter().map(|(_, slot)| self.id(*slot)).collect());
        let there = self.collection.inner().mirror_name();
        let answer = elsewhere.nearest(&there, question, filling.until)?;
        let outdated = self.outdated(&here.hits, &answer);
        if !outdated.is_empty() {
            here = (self.rank)(&unsent.with(&[], &outdated), self.wanted);
        }
        let mut hits = self.measured(&here.hits, answer.nearest);
        hits.extend(here.hits.iter().map(|&(distance, slot)| (distance, Place::Here(slot))));
        let id = |place: &Place| match place {
            Place::Here(slot) => self.id(*slot),
            Place::Elsewhere(row) => row.id.clone(),
        };
        hits.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| id(&a.1).cmp(&id(&b.1))));
        Some((hits, here.explain))
    }

    fn question(&self, also: Vec<ChunkId>) -> Question {
        Question {
            query: self.query.to_vec(),
            tenant: self.collection.tenant_name().map(str::to_owned),
            wants_metadata: self.filter.is_some(),
            needles: self.filter.map(Filter::needles).unwrap_or_default(),
            wanted: self.wanted.saturating_add(SPARE_ROWS),
            distance_max: self.distance_max,
            pick: self.pick(),
            also,
        }
    }

    /// Rows that match, that nothing newer stands here for, and that are the nearest of their documents where that is asked.
    fn pick(&self) -> Pick {
        let (inner, filter) = (self.collection.inner().clone(), self.filter.cloned());
        let by_document = self.by_document;
        Box::new(move |near: &[Neighbour]| {
            let matches = |one: &&Neighbour| filter.as_ref().is_none_or(|f| f.matches(&one.metadata));
            let heads: Vec<&Head> = near.iter().map(|one| &one.head).collect();
            let is_newer_here = inner.surpasses(&heads);
            let mut seen = HashSet::new();
            let mut is_first = |one: &Neighbour| {
                !by_document
                    || one.document.as_deref().is_none_or(|document| seen.insert(document.to_owned()))
            };
            let counts = near.iter().zip(is_newer_here).enumerate();
            let counts = counts.filter(|(_, (one, is_newer_here))| !is_newer_here && matches(one));
            counts.filter(|(_, (one, _))| is_first(one)).map(|(at, _)| at).collect()
        })
    }

    /// Rows here that something newer stands for elsewhere, a deletion perhaps.
    fn outdated(&self, here: &[(f32, Slot)], answer: &Answer) -> Vec<Slot> {
        let there: HashMap<&str, &Stamp> = answer.also.iter().map(|e| (e.id.as_str(), &e.stamp)).collect();
        let rows = &self.view.tables.rows;
        let is_older = |slot: &Slot| {
            let Some(row) = rows.get(*slot) else { return false };
            let Some(stamp) = there.get(row.id) else { return false };
            let inner = self.collection.inner();
            let mine = (row.ver, inner.tie().node_of(row.ver, row.node));
            let order = mine.cmp(&(stamp.ver, stamp.node));
            let digest = || inner.digest_of(self.view, *slot).unwrap_or_default();
            order.then_with(|| digest().cmp(&stamp.digest)) == Ordering::Less
        };
        here.iter().map(|(_, slot)| *slot).filter(is_older).collect()
    }

    /// What came, with distances that are ours; without what is here all the same, because it was sent meanwhile.
    fn measured(&self, here: &[(f32, Slot)], came: Vec<Edition>) -> Vec<(f32, Place)> {
        let mine: HashSet<ChunkId> = here.iter().map(|(_, slot)| self.id(*slot)).collect();
        let exact = Exact::new(self.metric(), self.query);
        let rows = came.into_iter().filter(|edition| !mine.contains(&edition.id)).filter_map(|e| e.row);
        let measured = rows.filter_map(|row| {
            let vector = row.vector.as_deref().filter(|vector| vector.len() == self.query.len())?;
            Some((exact.distance(vector), Place::Elsewhere(Box::new(row))))
        });
        measured.collect()
    }

    fn id(&self, slot: Slot) -> ChunkId {
        ChunkId::from(self.view.tables.rows.id(slot))
    }

    fn metric(&self) -> Metric {
        self.collection.inner().schema.metric
    }
}
