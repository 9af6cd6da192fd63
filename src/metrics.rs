//! Counters of work: what a call did, beside how long it took.

use serde::Serialize;
use std::ops::AddAssign;

/// Work of one call on a graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Work {
    /// Nodes whose lists were read.
    pub visited: u64,
    /// Distances computed over codes.
    pub distances: u64,
    /// Distances computed over full-precision rows.
    pub reranked: u64,
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.visited += other.visited;
        self.distances += other.distances;
        self.reranked += other.reranked;
    }
}
