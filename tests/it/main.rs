//! All integration tests, in one binary. A scenario is a file; its first lines say goal and method.

// The settings of clippy exempt test functions only, not their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(feature = "server")]
mod bench;
