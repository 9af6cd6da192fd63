//! What the mirror asks of a collection, staged as part of a group like any write: versions from the database against what is
//! here, rows that are dirty again, rows that go.
//!
//! Invariants: of two versions the greater [`Stamp`] is live after (M4, M5); what is here and newer is dirty after (M3); a
//! deletion from the database leaves a clean grave, so that an older version that comes later brings nothing back (M15).
//!
//! Such an order stands first in its group: it looks at published rows only.

use super::Ticket;
use super::marks::Grave as Standing;
use crate::engine::write::draft::{Clock, Draft, NewRow, Staged};
use crate::ids::{ChunkId, Seq, Slot, Ver};
use crate::record::{Edition, Grave, Head, Stamp};
use std::cmp::Ordering;

/// What the mirror asks for.
pub(crate) enum Tapped {
    /// Versions from the database, no id twice. With `force` they replace newer ones too.
    Apply { editions: Vec<Edition>, force: bool },
    /// What is dirty again.
    Soil(Vec<Ticket>),
    /// Live rows become new versions of this store.
    Renew(Vec<ChunkId>),
    /// Rows that the database does not have go, if they are clean and of this version.
    Drop(Vec<Head>),
}

/// What stands under an id.
pub(crate) enum Here {
    Nothing,
    /// A row that is damaged: whatever comes is better.
    Lost(Slot),
    Row {
        slot: Slot,
        ver: Ver,
        node: u64,
        is_dirty: bool,
    },
    Grave(Standing),
}

impl Tapped {
    /// Bytes that it adds to a group, about.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Apply { editions, .. } => {
                editions.iter().filter_map(|e| Some(e.row.as_ref()?.bytes())).sum()
            }
            _ => 0,
        }
    }

    /// Whether it takes room on the disk.
    pub(crate) fn brings_rows(&self) -> bool {
        match self {
            Self::Apply { editions, .. } => editions.iter().any(|edition| edition.row.is_some()),
            Self::Renew(_) => true,
            Self::Soil(_) | Self::Drop(_) => false,
        }
    }
}

impl Here {
    fn is_dirty(&self) -> bool {
        match self {
            Self::Row { is_dirty, .. } => *is_dirty,
            Self::Grave(grave) => grave.is_dirty,
            Self::Nothing | Self::Lost(_) => false,
        }
    }

    fn ver(&self) -> Option<Ver> {
        match self {
            Self::Row { ver, .. } => Some(*ver),
            Self::Grave(grave) => Some(grave.ver),
            Self::Nothing | Self::Lost(_) => None,
        }
    }

    /// How it stands to a version; `digest` is asked for where nothing else decides.
    pub(crate) fn cmp(&self, stamp: &Stamp, digest: impl FnOnce(Slot) -> Option<u64>) -> Ordering {
        let (ver, node) = match self {
            Self::Nothing | Self::Lost(_) => return Ordering::Less,
            Self::Row { ver, node, .. } => (*ver, *node),
            Self::Grave(grave) => (grave.ver, grave.node),
        };
        (ver, node).cmp(&(stamp.ver, stamp.node)).then_with(|| match self {
            // A row that cannot be read is as good as none.
            Self::Row { slot, .. } => digest(*slot).map_or(Ordering::Less, |mine| mine.cmp(&stamp.digest)),
            _ => 0.cmp(&stamp.digest),
        })
    }

    /// What to acknowledge, if the database has it too.
    pub(crate) fn ticket(&self, id: &ChunkId) -> Option<Ticket> {
        match self {
            Self::Row { slot, .. } => Some(Ticket::Row(*slot)),
            Self::Grave(grave) => Some(Ticket::Grave(id.clone(), grave.ver)),
            Self::Nothing | Self::Lost(_) => None,
        }
    }
}

impl Draft {
    pub(crate) fn stage_tapped(&mut self, tapped: Tapped, clock: &mut Clock, staged: &mut Staged) {
        match tapped {
            Tapped::Apply { editions, force } => {
                for edition in editions {
                    self.stage_edition(edition, force, clock, staged);
                }
            }
            Tapped::Soil(tickets) => {
                staged.applied.stored =
                    tickets.iter().filter(|ticket| self.stage_soil(ticket, staged)).count();
            }
            Tapped::Renew(ids) => ids.into_iter().for_each(|id| self.stage_renewal(&id, clock, staged)),
            Tapped::Drop(heads) => heads.into_iter().for_each(|head| self.stage_drop(&head, staged)),
        }
    }

    fn stage_edition(&mut self, edition: Edition, force: bool, clock: &mut Clock, staged: &mut Staged) {
        clock.observe(edition.stamp.ver);
        let inner = self.collection().clone();
        let here = inner.here(self.view(), &edition.id);
        let digest = |slot| inner.digest_of(self.view(), slot);
        let is_same_end = matches!(here, Here::Grave(_)) && edition.row.is_none();
        match here.cmp(&edition.stamp, digest) {
            Ordering::Less => self.take(edition, &here, None, staged),
            Ordering::Equal => {
                staged.applied.passed_over += 1;
                inner.acknowledge(here.ticket(&edition.id).as_slice());
            }
            Ordering::Greater if force && !is_same_end => {
                clock.catch_up();
                let (ver, node) = self.version(here.ver(), clock);
                let stamp = Stamp { ver, node, ..edition.stamp };
                self.take(Edition { stamp, ..edition }, &here, Some(staged.seq), staged);
            }
            Ordering::Greater => {
                staged.applied.passed_over += 1;
                if let Some(ticket) = here.ticket(&edition.id) {
                    self.stage_soil(&ticket, staged);
                }
            }
        }
    }

    /// Puts an edition in the place of what is here: clean, or dirty since a commit of this store.
    fn take(&mut self, edition: Edition, here: &Here, since: Option<Seq>, staged: &mut Staged) {
        let Edition { id, stamp, row } = edition;
        if here.is_dirty() {
            staged.applied.conflicts.push(id.clone());
        }
        if let Here::Row { slot, .. } | Here::Lost(slot) = here {
            staged.removed.push(*slot);
        }
        match row {
            Some(row) => {
                staged.applied.stored += 1;
                if let (Here::Grave(_), Some(marking)) = (here, &mut staged.marking) {
                    marking.risen.push(id);
                }
                self.push(NewRow { row, ver: stamp.ver, node: stamp.node, since }, staged);
            }
            None => {
                staged.applied.deleted += 1;
                let node = if stamp.node == 0 { self.collection().tie().node() } else { stamp.node };
                let grave = Grave { ver: stamp.ver, node, is_dirty: since.is_some() };
                self.put_grave(id, grave, staged);
            }
        }
    }

    /// What is live, and clean, and still of this version is dirty; whether there was any.
    fn stage_soil(&mut self, ticket: &Ticket, staged: &mut Staged) -> bool {
        let inner = self.collection().clone();
        let marks = inner.marks();
        match ticket {
            Ticket::Row(slot) => {
                let is_clean = self.view().live.contains(*slot) && !marks.is_dirty(*slot);
                if let Some(marking) = staged.marking.as_mut().filter(|_| is_clean) {
                    marking.soiled.push(*slot);
                }
                is_clean
            }
            Ticket::Grave(id, ver) => {
                let grave = marks.grave(id).copied().filter(|grave| grave.ver == *ver && !grave.is_dirty);
                drop(marks);
                if let Some(grave) = grave {
                    let grave = Grave { ver: grave.ver, node: grave.node, is_dirty: true };
                    self.put_grave(id.clone(), grave, staged);
                }
                grave.is_some()
            }
        }
    }

    fn stage_renewal(&mut self, id: &ChunkId, clock: &mut Clock, staged: &mut Staged) {
        let inner = self.collection().clone();
        let Here::Row { slot, ver, .. } = inner.here(self.view(), id) else { return };
        let Some(new) = self.again(slot) else { return };
        clock.catch_up();
        let (ver, node) = self.version(Some(ver), clock);
        staged.removed.push(slot);
        staged.applied.stored += 1;
        self.push(NewRow { ver, node, since: staged.dirty(), ..new }, staged);
    }

    fn stage_drop(&mut self, head: &Head, staged: &mut Staged) {
        let here = self.collection().here(self.view(), &head.id);
        if let Here::Row { slot, ver, node, is_dirty: false } = here
            && (ver, node) == (head.ver, head.node)
        {
            self.forget(&head.id);
            staged.removed.push(slot);
        }
    }
}
