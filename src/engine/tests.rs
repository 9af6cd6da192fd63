//! Scenarios of the engine that need its inside.

mod check;
mod crash;
mod faults;
mod full;
mod model;
mod nested;
mod reclaim;
