//! The expression tree in its normal form, and the limits on it.
//!
//! Invariants of the normal form, which makes equal filters print, hash and compare as equal (they are cache keys):
//! - no `All` in an `All`, no `Any` in an `Any`, no `Not` in a `Not`, no `All` or `Any` of one;
//! - the parts of `All` and `Any` and the values of `In` are sorted and unique;
//! - depth and nodes are within the limits, so everything that walks a tree may recurse.

use crate::error::{Error, Result};
use crate::limits::{FILTER_DEPTH_MAX, FILTER_NODES_MAX};
use crate::record::Num;
use std::ops::Bound;

/// Which chunks a call is about, by their metadata.
///
/// Built in Rust or read from JSON; both say the same:
///
/// ```
/// use nearfield::Filter;
/// let built = Filter::eq("lang", "en") & (Filter::lt("size", 200) | Filter::exists("draft", false));
/// let read = Filter::parse(r#"{"lang": "en", "$or": [{"size": {"$lt": 200}}, {"draft": {"$exists": false}}]}"#)?;
/// assert_eq!(built, read);
/// # Ok::<(), nearfield::Error>(())
/// ```
///
/// Paths are keys joined by dots and reach into nested objects. A condition on an array holds when it holds for any
/// element. `ne`, `not_in` and `not` match exactly what `eq`, `is_in` and the inner filter do not, missing fields included.
/// Comparisons are between numbers, exactly, or between strings, by bytes.
///
/// The builder never fails: what is wrong with a filter is kept in it, and the call that uses it says so. Equal filters
/// print equal, as canonical JSON.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Filter(pub(super) Result<Expr, Box<str>>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Expr {
    Test(Box<str>, Test),
    All(Vec<Expr>),
    Any(Vec<Expr>),
    Not(Box<Expr>),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Test {
    In(Vec<Scalar>),
    Number(Range<Num>),
    Text(Range<Box<str>>),
    Prefix(Box<str>),
    Contains(Box<str>),
    Exists,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Num(Num),
    Str(Box<str>),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Range<T> {
    Lt(T),
    Lte(T),
    Gt(T),
    Gte(T),
    Between(T, T),
}

impl Filter {
    /// Fails with what the builder was given wrong.
    pub(crate) fn check(&self) -> Result<()> {
        self.0.as_ref().map(drop).map_err(|reason| Error::invalid(format!("filter: {reason}")))
    }

    pub(super) fn of(expr: Expr) -> Self {
        let depth = expr.depth();
        if depth > FILTER_DEPTH_MAX {
            return Self::wrong(format!("nested {depth} deep; the limit is {FILTER_DEPTH_MAX}: flatten it"));
        }
        let nodes = expr.nodes();
        if nodes > FILTER_NODES_MAX {
            return Self::wrong(format!(
                "{nodes} conditions and connectives; the limit is {FILTER_NODES_MAX}: try $in for many values"
            ));
        }
        Self(Ok(expr))
    }

    pub(super) fn wrong(reason: impl Into<Box<str>>) -> Self {
        Self(Err(reason.into()))
    }
}

impl Expr {
    pub(super) fn all(parts: Vec<Self>) -> Self {
        let flat = parts.into_iter().flat_map(|part| match part {
            Self::All(inner) => inner,
            other => vec![other],
        });
        Self::one_or(Self::All, flat.collect())
    }

    pub(super) fn any(parts: Vec<Self>) -> Self {
        let flat = parts.into_iter().flat_map(|part| match part {
            Self::Any(inner) => inner,
            other => vec![other],
        });
        Self::one_or(Self::Any, flat.collect())
    }

    fn one_or(many: fn(Vec<Self>) -> Self, mut parts: Vec<Self>) -> Self {
        parts.sort_unstable();
        parts.dedup();
        match parts.pop() {
            Some(only) if parts.is_empty() => only,
            last => {
                parts.extend(last);
                many(parts)
            }
        }
    }

    pub(super) fn not(self) -> Self {
        match self {
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    fn parts(&self) -> &[Self] {
        match self {
            Self::Test(..) => &[],
            Self::All(parts) | Self::Any(parts) => parts,
            Self::Not(inner) => std::slice::from_ref(inner),
        }
    }

    fn depth(&self) -> usize {
        1 + self.parts().iter().map(Self::depth).max().unwrap_or(0)
    }

    fn nodes(&self) -> usize {
        1 + self.parts().iter().map(Self::nodes).sum::<usize>()
    }
}

impl Test {
    pub(super) fn one_of(mut values: Vec<Scalar>) -> Self {
        values.sort_unstable();
        values.dedup();
        Self::In(values)
    }
}

impl<T> Range<T> {
    pub(super) fn bounds(&self) -> (Bound<&T>, Bound<&T>) {
        match self {
            Self::Lt(v) => (Bound::Unbounded, Bound::Excluded(v)),
            Self::Lte(v) => (Bound::Unbounded, Bound::Included(v)),
            Self::Gt(v) => (Bound::Excluded(v), Bound::Unbounded),
            Self::Gte(v) => (Bound::Included(v), Bound::Unbounded),
            Self::Between(lo, hi) => (Bound::Included(lo), Bound::Included(hi)),
        }
    }
}
