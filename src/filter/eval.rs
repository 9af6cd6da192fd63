//! The oracle: what a filter means, one row at a time, straight from the metadata. It shares nothing with the index but
//! the expression, and finds fields the other way round: it splits the path instead of joining keys.

use super::expr::{Expr, Filter, Range, Scalar, Test};
use crate::record::{Map, Num};
use serde_json::Value;
use std::ops::RangeBounds;

impl Filter {
    /// Whether a chunk with this metadata matches. A filter that was built wrong matches nothing.
    pub(crate) fn matches(&self, metadata: &Map) -> bool {
        self.0.as_ref().is_ok_and(|expr| holds(expr, metadata))
    }
}

fn holds(expr: &Expr, metadata: &Map) -> bool {
    match expr {
        Expr::All(parts) => parts.iter().all(|part| holds(part, metadata)),
        Expr::Any(parts) => parts.iter().any(|part| holds(part, metadata)),
        Expr::Not(inner) => !holds(inner, metadata),
        Expr::Test(path, test) => any_field(metadata, path, &|field| field_passes(test, field)),
    }
}

/// Whether `pass` is true of any of the fields that `path` names: every dot may separate keys, or belong to one.
fn any_field(map: &Map, path: &str, pass: &dyn Fn(&Value) -> bool) -> bool {
    let nested = || {
        path.match_indices('.').any(|(dot, _)| {
            map.get(&path[..dot]).is_some_and(|value| any_field_inside(value, &path[dot + 1..], pass))
        })
    };
    map.get(path).is_some_and(pass) || nested()
}

fn any_field_inside(value: &Value, path: &str, pass: &dyn Fn(&Value) -> bool) -> bool {
    match value {
        Value::Object(map) => any_field(map, path, pass),
        Value::Array(items) => items.iter().any(|item| any_field_inside(item, path, pass)),
        _ => false,
    }
}

fn field_passes(test: &Test, field: &Value) -> bool {
    match (test, field) {
        (Test::Exists, _) => true,
        // Inside a string, but equal to an element.
        (Test::Contains(part), Value::String(s)) => s.contains(&**part),
        (Test::Contains(part), _) => any_value(field, &|v| v.as_str() == Some(part)),
        _ => any_value(field, &|v| value_passes(test, v)),
    }
}

/// Whether `pass` is true of the field itself or of any value in its arrays.
fn any_value(field: &Value, pass: &dyn Fn(&Value) -> bool) -> bool {
    match field {
        Value::Array(items) => items.iter().any(|item| any_value(item, pass)),
        Value::Object(_) => false,
        value => pass(value),
    }
}

fn value_passes(test: &Test, value: &Value) -> bool {
    match (test, value) {
        (Test::In(wanted), _) => wanted.iter().any(|w| equals(w, value)),
        (Test::Number(range), Value::Number(n)) => Num::of(n).is_some_and(|n| in_range(range, &n)),
        (Test::Text(range), Value::String(s)) => in_range(range, &s.as_str().into()),
        (Test::Prefix(start), Value::String(s)) => s.starts_with(&**start),
        _ => false,
    }
}

fn in_range<T: PartialOrd>(range: &Range<T>, value: &T) -> bool {
    range.bounds().contains(value)
}

fn equals(wanted: &Scalar, value: &Value) -> bool {
    match (wanted, value) {
        (Scalar::Null, Value::Null) => true,
        (Scalar::Bool(a), Value::Bool(b)) => a == b,
        (Scalar::Num(a), Value::Number(b)) => Num::of(b) == Some(*a),
        (Scalar::Str(a), Value::String(b)) => **a == **b,
        _ => false,
    }
}
