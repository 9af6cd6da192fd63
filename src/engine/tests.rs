//! Scenarios of the engine that need its inside.
