//! How many rows go out at once, and how the row that spoils a batch is found. Pure.

use std::ops::Range;

/// Rows in a batch: halved by a timeout, a tenth more after a success.
#[derive(Debug)]
pub(super) struct BatchRows {
    rows: usize,
    max: usize,
}

impl BatchRows {
    pub(super) fn new(max: usize) -> Self {
        Self { rows: max, max }
    }

    pub(super) fn get(&self) -> usize {
        self.rows
    }

    pub(super) fn grow(&mut self) {
        self.rows = (self.rows + self.rows.div_ceil(10)).min(self.max);
    }

    pub(super) fn shrink(&mut self) {
        self.rows = (self.rows / 2).max(1);
    }
}

/// Looks for one bad row among those that failed together.
///
/// Invariant (M13): `n` suspects take at most `ceil(log2 n) + 1` statements; each tells that half of them are good, or that
/// the bad one is among that half. What is neither stays dirty and goes with a later batch.
#[derive(Debug)]
pub(super) struct Bisect {
    suspects: Range<usize>,
}

impl Bisect {
    pub(super) fn new(rows: usize) -> Self {
        Self { suspects: 0..rows }
    }

    /// What is sent next; nothing when the search is over.
    pub(super) fn probe(&self) -> Option<Range<usize>> {
        let Range { start, end } = self.suspects;
        match end - start {
            0 => None,
            1 => Some(start..end),
            len => Some(start..start + len / 2),
        }
    }

    /// How the probe went. The bad row, once it has failed alone.
    pub(super) fn answer(&mut self, is_stored: bool) -> Option<usize> {
        let probe = self.probe()?;
        if is_stored {
            self.suspects.start = probe.end;
            return None;
        }
        if probe.len() == 1 {
            self.suspects = 0..0;
            return Some(probe.start);
        }
        self.suspects = probe;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_shrinks_by_half_and_grows_by_a_tenth() {
        let mut rows = BatchRows::new(1_000);
        let mut seen = vec![];
        for is_good in [true, false, false, true, true, true] {
            if is_good {
                rows.grow()
            } else {
                rows.shrink()
            }
            seen.push(rows.get());
        }
        assert_eq!(seen, [1_000, 500, 250, 275, 303, 334]);
        for _ in 0..20 {
            rows.shrink();
        }
        assert_eq!(rows.get(), 1);
        rows.grow();
        assert_eq!(rows.get(), 2);
    }

    /// Statements, rows stored and the culprit, for a set of bad rows.
    fn search(len: usize, bad: &[usize]) -> (u32, usize, Option<usize>) {
        let (mut bisect, mut statements, mut stored, mut found) = (Bisect::new(len), 0, 0, None);
        while let Some(probe) = bisect.probe() {
            statements += 1;
            let is_stored = !bad.iter().any(|b| probe.contains(b));
            stored += if is_stored { probe.len() } else { 0 };
            found = found.or(bisect.answer(is_stored));
        }
        (statements, stored, found)
    }

    #[test]
    fn one_poison_row_takes_at_most_log2_and_one_statements() {
        for len in (1..40).chain([64, 100, 999, 1_000]) {
            let max = (len as f64).log2().ceil() as u32 + 1;
            for bad in 0..len {
                let (statements, stored, found) = search(len, &[bad]);
                assert_eq!(found, Some(bad));
                assert!(statements <= max, "{statements} statements for {len} rows, {max} allowed");
                assert!(stored < len);
            }
        }
    }

    #[test]
    fn of_several_poison_rows_one_is_found_and_a_fault_that_is_gone_finds_none() {
        assert!(matches!(search(100, &[3, 60, 99]).2, Some(3)));
        assert_eq!(search(8, &[]), (4, 8, None));
        assert_eq!(search(0, &[]), (0, 0, None));
    }
}
