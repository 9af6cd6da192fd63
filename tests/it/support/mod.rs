//! What several scenarios share: generated data with its truth, and nothing of the library's inside.

pub(crate) mod data;
#[cfg(all(feature = "mirror", feature = "server"))]
pub(crate) mod postgres;
#[cfg(all(feature = "mirror", feature = "server"))]
pub(crate) mod proxy;
pub(crate) mod random;
#[cfg(all(feature = "mirror", feature = "server"))]
pub(crate) mod sql;
#[cfg(all(feature = "mirror", feature = "server"))]
pub(crate) mod wait;
