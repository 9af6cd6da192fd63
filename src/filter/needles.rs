//! What the metadata of every match hold somewhere: for whoever can look for values, and does not know filters.

use super::expr::{Expr, Filter, Range, Scalar, Test};
use crate::record::Num;
use serde_json::Value;
use std::ops::Bound;

/// What is looked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Needle {
    /// This text, boolean or null.
    Value(Value),
    /// A number between these, both included: a little more than is meant, for others compare numbers by more digits than we do.
    Number { from: f64, to: f64 },
}

impl Filter {
    /// Lists of needles. Metadata that match hold at least one of each list, at whatever depth; others may, too.
    pub(crate) fn needles(&self) -> Vec<Vec<Needle>> {
        self.0.as_ref().map(of).unwrap_or_default()
    }
}

fn of(expr: &Expr) -> Vec<Vec<Needle>> {
    match expr {
        Expr::All(parts) => parts.iter().flat_map(of).collect(),
        Expr::Any(parts) => any(parts).map(|list| vec![list]).unwrap_or_default(),
        Expr::Test(_, Test::In(values)) => vec![values.iter().map(needle).collect()],
        Expr::Test(_, Test::Number(range)) => vec![vec![between(range)]],
        // What is not there cannot be looked for, and the order or a part of a text is no value.
        Expr::Not(_) | Expr::Test(..) => vec![],
    }
}

/// One list of each part, if all have one.
fn any(parts: &[Expr]) -> Option<Vec<Needle>> {
    let lists = parts.iter().map(|part| of(part).into_iter().next());
    Some(lists.collect::<Option<Vec<_>>>()?.into_iter().flatten().collect())
}

fn needle(scalar: &Scalar) -> Needle {
    match scalar {
        Scalar::Null => Needle::Value(Value::Null),
        Scalar::Bool(value) => Needle::Value(Value::Bool(*value)),
        Scalar::Str(value) => Needle::Value(Value::String(value.to_string())),
        Scalar::Num(value) => between(&Range::Between(*value, *value)),
    }
}

fn between(range: &Range<Num>) -> Needle {
    let (from, to) = range.bounds();
    let float = |bound: Bound<&Num>, none: f64| match bound {
        Bound::Included(num) | Bound::Excluded(num) => num.to_number().as_f64().unwrap_or(none),
        Bound::Unbounded => none,
    };
    let slack = |x: f64| x.abs() * 1e-9 + f64::MIN_POSITIVE;
    let (from, to) = (float(from, f64::MIN), float(to, f64::MAX));
    // No number is beyond, and JSON knows no infinity.
    Needle::Number { from: (from - slack(from)).max(f64::MIN), to: (to + slack(to)).min(f64::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A number as the middle of its needle, or as the ends.
    fn told(needle: &Needle) -> Value {
        match needle {
            Needle::Value(value) => value.clone(),
            Needle::Number { from, to } if to - from < 1e-3 => json!(((from + to) / 2.0).round()),
            Needle::Number { from, to } => json!([from.round(), to.round()]),
        }
    }

    #[test]
    fn needles_are_values_that_every_match_has() {
        let (min, max) = (f64::MIN, f64::MAX);
        for (filter, needles) in [
            (json!({"a": "x"}), json!([["x"]])),
            (json!({"a": "x", "b": {"$in": ["y", null, true]}}), json!([["x"], [null, true, "y"]])),
            (json!({"a": 1}), json!([[1.0]])),
            (json!({"a": {"$in": ["x", 1]}}), json!([[1.0, "x"]])),
            (json!({"a": {"$in": []}}), json!([[]])),
            (json!({"a": {"$ne": "x"}}), json!([])),
            (json!({"a": {"$gte": 3, "$lt": 7}}), json!([[[min, 7.0]], [[3.0, max]]])),
            (json!({"a": {"$between": [-2, 5]}}), json!([[[-2.0, 5.0]]])),
            (json!({"a": {"$prefix": "x"}, "b": {"$gt": "y"}, "c": {"$contains": "z"}}), json!([])),
            (json!({"$or": [{"a": "x"}, {"b": "y"}]}), json!([["x", "y"]])),
            (json!({"$or": [{"a": "x"}, {"b": {"$exists": true}}]}), json!([])),
            (json!({"$not": {"a": "x"}}), json!([])),
        ] {
            let read = Filter::parse(&filter.to_string()).unwrap().needles();
            let told: Vec<Vec<Value>> = read.iter().map(|list| list.iter().map(told).collect()).collect();
            assert_eq!(json!(told), needles, "{filter}");
        }
    }

    #[test]
    fn numbers_get_more_room_than_rounding_takes() {
        for x in [0.1, -0.1, 1e300, -1e300, 5e-324, 0.0, 9_007_199_254_740_993_i64 as f64] {
            let filter = Filter::eq("a", x);
            let [list] = filter.needles().try_into().unwrap();
            let Needle::Number { from, to } = list[0] else { panic!("{list:?}") };
            assert!(from < x && x < to, "{x}: {from} to {to}");
        }
    }
}
