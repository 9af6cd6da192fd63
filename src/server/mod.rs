//! The HTTP server: the API of a store and its mirror, to be mounted in a host's own application or served on a port of its own.
//!
//! A request's way: `serve` takes the connection, `gate` names it, lets it in and reads it, `router` says which route it is and where
//! that runs, `routes/` makes one call of the engine, `wire/` has the words. `router.rs` is the whole API on one page.
//!
//! Invariants: nothing that computes or waits for a disk runs where sockets are served; every path goes through one gate; a limit is
//! enforced before memory is taken; what is told of a failure names no path, no statement and no secret.
//!
//! Knows what `lib.rs` exports, like any host. Holds no logic of the engine.
//!
//! ```
//! use nearfield::{Store, server};
//!
//! let api = server::router(Store::memory(), None, server::Options::default())?;
//! let app: axum::Router = axum::Router::new().nest("/nearfield", api);
//! # drop(app);
//! # Ok::<(), nearfield::Error>(())
//! ```

mod app;
mod auth;
mod body;
mod call;
mod embedding;
mod gate;
mod jobs;
mod metrics;
mod migrate;
mod openapi;
mod options;
mod pages;
mod pool;
mod problem;
mod request_id;
mod router;
mod routes;
mod serve;
#[cfg(feature = "mirror")]
mod side;
#[cfg(not(feature = "mirror"))]
#[path = "absent.rs"]
mod side;
mod stall;
mod time;
mod wire;

pub use auth::{Role, Tokens};
pub(crate) use migrate::{MigratedBy, NewModel};
pub use options::{Limits, Options};
pub use router::router;
pub use serve::{LiveSettings, Running, Server, serve};
pub use side::Mirror;
pub(crate) use wire::{Estimated, MigrateBody, MigrateResult, MigrateStep, NewEmbedding, Object, WouldDrop};
