//! Scenarios of the engine that need its inside.

mod bed;
mod hostile;
mod repair;
