//! The words of the interface: what requests and answers are made of, and their schemas.
//!
//! Invariant: every type that is read refuses fields it does not know.

mod admin;
mod chunks;
mod collections;
mod migrate;
mod object;
mod search;
mod vectors;
mod whole;

pub(crate) use admin::*;
pub(crate) use chunks::*;
pub(crate) use collections::*;
pub(crate) use migrate::*;
pub(crate) use object::Object;
pub(crate) use search::*;
pub(crate) use vectors::*;
