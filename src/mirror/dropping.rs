//! A collection that was dropped here, and is to go from the database too: only when somebody says so, for others may hold it.
//!
//! Its rows become deletions, like any: other nodes hear of them by the feed, and stop and ask where they are more than their guards
//! let pass (M17). Then the database forgets its name.

use super::compare::after;
use super::remote::{IdRange, Reading, Remote};
use super::sides::Sides;
use super::trouble::Step;
use crate::error::{Error, ErrorKind, excerpt};

/// Rows that are deleted between two looks up.
const ROWS: usize = 5_000;

impl<R: Remote> Sides<R> {
    /// Says how many rows there were. A kill in between leaves a part: it is called again. With `dry_run` it only counts them.
    pub(super) async fn drop_there(&mut self, name: &str, dry_run: bool) -> Step<u64> {
        if self.tap.collections()?.iter().any(|collection| collection.name() == name) {
            let message = format!("collection {} is here; drop it in this store first", excerpt(name));
            return Err(Error::new(ErrorKind::Conflict, message).into());
        }
        if !self.remote.collections().await?.iter().any(|known| known.name == name) {
            let message = format!("the database has no collection {}", excerpt(name));
            return Err(Error::new(ErrorKind::NotFound, message).into());
        }
        let (mut left, mut gone) = (IdRange::default(), 0);
        loop {
            let mut reading = self.remote.read().await?;
            let heads = reading.heads(name, &left, ROWS).await?;
            reading.finish().await?;
            let Some(last) = heads.last() else { break };
            left.from = Some(after(&last.id));
            if !dry_run {
                self.delete_there(name, &heads).await?;
            }
            gone += heads.len() as u64;
            self.stepped();
        }
        if dry_run {
            return Ok(gone);
        }
        if !self.remote.undeclare(name).await? {
            let message = format!(
                "{gone} rows of collection {} were deleted, and somebody writes new ones; stop him, and call this again",
                excerpt(name)
            );
            return Err(Error::new(ErrorKind::Conflict, message).into());
        }
        self.memory.collections.remove(name);
        self.persist()?;
        Ok(gone)
    }
}
