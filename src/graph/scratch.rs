//! The buffers of one searcher, used again from search to search.

use super::pool::{Near, Pool};
use super::visited::Visited;
use crate::codes::QueryCode;

#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) visited: Visited,
    /// Candidates to expand.
    pub(crate) beam: Pool,
    /// Accepted candidates, where a mask is asked for.
    pub(crate) found: Pool,
    /// The query under way.
    pub(crate) query: QueryCode,
    /// A row that stands in as a query while links are chosen.
    pub(crate) row: QueryCode,
    /// The answer of the last search, nearest first.
    pub(crate) near: Vec<Near>,
    pub(crate) keys: Vec<u64>,
    pub(crate) chosen: Vec<u64>,
}
