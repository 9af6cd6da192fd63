//! What several scenarios share: generated data with its truth, and nothing of the library's inside.

#[cfg(feature = "server")]
pub(crate) mod browser;
pub(crate) mod data;
#[cfg(feature = "server")]
#[path = "../../../src/embed/http/tests/fake.rs"]
#[allow(dead_code, reason = "the embedder's own tests ask it for more")]
pub(crate) mod embeddings;
#[cfg(all(feature = "mirror", feature = "server"))]
pub(crate) mod postgres;
#[cfg(all(feature = "mirror", feature = "server"))]
pub(crate) mod proxy;
pub(crate) mod random;
#[cfg(all(feature = "mirror", feature = "server"))]
pub(crate) mod sql;
#[cfg(feature = "server")]
pub(crate) mod wait;

/// A number that whoever runs the tests has set.
pub(crate) fn environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
