//! Scenarios of the engine that need its inside.

mod bed;
mod check;
mod crash;
mod faults;
mod full;
mod heal;
mod hostile;
mod model;
mod names;
mod nested;
mod reclaim;
mod repair;
mod swap;
