//! What every search reads, from the pages of files into huge pages of memory, block by block after opening. Opening does not wait
//! for it, and searches that run meanwhile are as right as after.

use super::pauses::Job;
use crate::engine::inner::Inner;
use crate::engine::view::View;
use crate::error::Result;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Inner {
    /// Moves lists and codes of one block; false if none is left. Without the memory for it they stay where they are.
    pub(crate) fn warm_step(&self) -> bool {
        let block = self.warmed.load(Ordering::Relaxed);
        if block >= self.view.load().tables.vectors.blocks() {
            return false;
        }
        self.warmed.store(block + 1, Ordering::Relaxed);
        let links = {
            let _pause = self.line.pauses.begin(Job::Warm);
            let _alone = self.linking.write();
            self.graph.warm_block(block)
        };
        links.and_then(|_| self.warm_codes(block)).is_ok()
    }

    fn warm_codes(&self, block: usize) -> Result<()> {
        let view = self.view.load_full();
        let Some((codes, terms)) = view.tables.codes.copy_of(block)? else { return Ok(()) };
        let _writer = self.writer.lock();
        let _pause = self.line.pauses.begin(Job::Warm);
        let mut view = View::clone(&self.view.load());
        // Trained anew meanwhile: then they are in memory already.
        if view.tables.codes.is_in_file(block) {
            let mut tables = view.tables.as_ref().clone();
            tables.codes = tables.codes.with_replaced_block(block, codes, terms)?;
            self.retire(std::mem::replace(&mut view.tables, Arc::new(tables)));
            self.view.store(Arc::new(view));
        }
        Ok(())
    }
}
