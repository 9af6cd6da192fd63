//! Filters over metadata: the expression, its row-at-a-time meaning, and the index that answers it for a block at once.
//!
//! Owns: the public [`Filter`] with its builder and JSON syntax, [`Filter::matches`] (the oracle), [`FieldIndex`] (one per block).
//!
//! A path names a field: keys joined by dots. `{"a": {"b": 1}}` and `{"a.b": 1}` both hold 1 under `a.b`, and one object
//! may hold both. Arrays are transparent: a field has every value inside its array, however nested, and objects in arrays
//! are walked into, so `{"by": [{"name": "x"}, {"name": "y"}]}` holds "x" and "y" under `by.name`. Values are strings,
//! numbers, booleans and null.
//!
//! | condition | holds when |
//! |---|---|
//! | `v`, `$eq: v` | some value equals `v`; null matches a null that is there, not a missing field |
//! | `$in: [..]` | some value equals one of them; nothing is in `[]` |
//! | `$lt $lte $gt $gte: v` | some value of the same type (number or string) compares so |
//! | `$between: [lo, hi]` | some one value is in `lo..=hi`; nothing is if `lo > hi` |
//! | `$prefix: s` | some value is a string that starts with `s` |
//! | `$contains: v` | the field is a string with `v` inside, or an array with `v` as an element; a number, boolean or null as `$eq` |
//! | `$exists: true` | the key is there, even with null, `{}` or `[]` |
//! | `$ne $nin $exists:false $not` | exactly the rows that the positive form leaves out, so `$ne` finds missing fields |
//!
//! Numbers compare exactly across integers and floats (`1` is `1.0`; 2^53 + 1 is not 2^53). Strings compare by their
//! bytes. Types never mix: `"1"` is not `1`.
//!
//! Invariants:
//! - The index equals the oracle on every inserted row, open or sealed, for every filter.
//! - Nothing recurses deeper than `FILTER_DEPTH_MAX` over filters, or than admitted metadata is deep over rows.
//!
//! Does not know: slots, liveness, tenants. The planner ([`plan`]) knows counts alone. A bit of a [`BlockMask`] is a row's index in its block.

mod build;
mod eval;
mod expr;
mod index;
mod json;
mod mask;
mod needles;
mod numbers;
mod plan;
mod rows;
mod runs;
mod strings;
#[cfg(test)]
mod tests;

pub use expr::Filter;
pub(crate) use index::FieldIndex;
#[cfg(test)]
pub(crate) use mask::{BlockMask, to_roaring};
pub(crate) use needles::Needle;
pub use plan::Plan;
pub(crate) use plan::{Question, after, choose};
