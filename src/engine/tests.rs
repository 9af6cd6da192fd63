//! Scenarios of the engine that need its inside.

mod check;
mod crash;
mod model;
mod reclaim;
