//! One column of plain values, through the pages of one group of rows after the other.
//!
//! Invariant: one page and one dictionary are held. Knows its levels, not what they mean.

use super::footer::{Meaning, Node, Physical, Piece};
use super::page::{Dictionary, Either, Kind, Page, Stored};
use crate::import::input::{Input, Parsed};

/// Bytes of all pages and dictionaries that are held at once.
const HELD_BYTES_MAX: usize = 512 << 20;

/// The file, and what all columns together hold of it.
pub(super) struct Held {
    pub(super) input: Input,
    bytes: usize,
}

impl Held {
    pub(super) fn new(input: Input) -> Self {
        Self { input, bytes: 0 }
    }

    /// Takes `more` in the place of `less`.
    fn exchange(&mut self, less: usize, more: usize) -> Parsed<()> {
        self.bytes = self.bytes.saturating_sub(less).saturating_add(more);
        if self.bytes > HELD_BYTES_MAX {
            return Err(format!(
                "its columns have pages of more than {HELD_BYTES_MAX} bytes at once: write smaller ones, or pass columns over"
            ));
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) physical: Physical,
    pub(super) meaning: Meaning,
    pub(super) def_max: u16,
    rep_max: u16,
    piece: Piece,
    page: Option<Page>,
    dictionary: Dictionary,
    /// The levels of the next value, if they were looked at.
    ahead: Option<(u16, u16)>,
}

impl Leaf {
    pub(super) fn new(node: &Node, physical: Physical) -> Self {
        Self {
            physical,
            meaning: node.meaning,
            def_max: node.def,
            rep_max: node.rep,
            piece: Piece::default(),
            page: None,
            dictionary: Dictionary::default(),
            ahead: None,
        }
    }

    /// From the beginning of its part of a group of rows.
    pub(super) fn begin(&mut self, piece: &Piece, held: &mut Held) -> Parsed<()> {
        let size = self.dictionary.size() + self.page.as_ref().map_or(0, |page| page.size);
        self.piece = piece.clone();
        self.page = None;
        self.dictionary = Dictionary::default();
        self.ahead = None;
        held.exchange(size, 0)
    }

    /// The levels of the next value; nothing behind the last.
    #[inline]
    pub(super) fn peek(&mut self, held: &mut Held) -> Parsed<Option<(u16, u16)>> {
        if self.ahead.is_some() {
            return Ok(self.ahead);
        }
        while self.page.as_ref().is_none_or(|page| page.left == 0) {
            if self.piece.values == 0 {
                return Ok(None);
            }
            self.turn(held)?;
        }
        if let Some(page) = &mut self.page {
            let (rep, def) = page.levels()?;
            if rep > self.rep_max || def > self.def_max {
                return Err(format!(
                    "a value of the levels {rep} and {def}, of {} and {}",
                    self.rep_max, self.def_max
                ));
            }
            self.ahead = Some((rep, def));
        }
        Ok(self.ahead)
    }

    /// Passes the value that was looked at; it is handed out if it is there.
    #[inline]
    pub(super) fn take(&mut self) -> Parsed<Option<Stored<'_>>> {
        match (self.ahead.take(), &mut self.page) {
            (Some((_, def)), Some(page)) if def == self.def_max => {
                page.value(self.physical, &self.dictionary).map(Some)
            }
            (Some(_), _) => Ok(None),
            (None, _) => Err("a column ends before its rows do".to_owned()),
        }
    }

    /// To the next page.
    fn turn(&mut self, held: &mut Held) -> Parsed<()> {
        if self.piece.from >= self.piece.to {
            return Err(format!("a column ends {} values before it should", self.piece.values));
        }
        let Self { physical, def_max, rep_max, .. } = *self;
        let kind = Kind { physical, codec: self.piece.codec, def_max, rep_max };
        match kind.read(&mut held.input, &mut self.piece.from, self.piece.to)? {
            Either::Dictionary(dictionary) => {
                held.exchange(self.dictionary.size(), dictionary.size())?;
                self.dictionary = dictionary;
            }
            Either::Page(page) => {
                let left = self.piece.values.checked_sub(page.left);
                self.piece.values = left.ok_or("a page has more values than its column")?;
                held.exchange(self.page.as_ref().map_or(0, |page| page.size), page.size)?;
                self.page = Some(page);
            }
            Either::Neither => {}
        }
        Ok(())
    }
}
