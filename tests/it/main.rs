//! All integration tests, in one binary. A scenario is a file; its first lines say goal and method.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

#[cfg(feature = "server")]
mod bench;
mod calls;
#[cfg(feature = "server")]
mod cli_add;
#[cfg(feature = "server")]
mod cli_api;
#[cfg(feature = "server")]
mod cli_config;
#[cfg(feature = "server")]
mod cli_migrate;
#[cfg(feature = "server")]
mod cli_server;
#[cfg(feature = "server")]
mod cli_store;
#[cfg(all(feature = "mirror", feature = "server"))]
mod cli_sync;
#[cfg(all(unix, feature = "server", feature = "watch"))]
mod cli_watch;
mod concurrent;
#[cfg(all(feature = "mirror", feature = "server"))]
mod demo;
#[cfg(target_os = "linux")]
mod disks;
#[cfg(feature = "server")]
mod doctor;
mod durable;
#[cfg(all(feature = "mirror", feature = "server"))]
mod examples;
mod features;
mod heal;
#[cfg(feature = "server")]
mod import;
mod kill;
#[cfg(all(feature = "mirror", feature = "server"))]
mod mirror;
mod model;
mod oracle;
#[cfg(all(feature = "mirror", feature = "server"))]
mod postgres;
#[cfg(all(feature = "mirror", feature = "server"))]
mod proxy;
mod readme;
mod recall;
#[cfg(feature = "hnsw-rs")]
mod second_graph;
mod selectivity;
#[cfg(feature = "server")]
mod server;
mod snapshot;
mod support;
#[cfg(feature = "text")]
mod text;
mod tidy;
