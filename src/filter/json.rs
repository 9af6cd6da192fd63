//! The JSON syntax, in and out.
//!
//! What is printed is canonical and is read back as an equal filter. What is read may come from anyone: nesting and
//! number of parts are bounded while reading, before anything is built. Of duplicate keys in one object the JSON parser
//! keeps the last.

use super::build::{Built, shown, unknown};
use super::expr::{Expr, Filter, Range, Scalar, Test};
use crate::error::{Error, Result, excerpt};
use crate::limits::{FILTER_DEPTH_MAX, FILTER_NODES_MAX};
use crate::record::{Map, to_canonical};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use std::fmt;

impl Filter {
    /// Reads a filter from JSON text, such as `{"lang": "en", "size": {"$lt": 200}}`.
    pub fn parse(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text)
            .map_err(|e| Error::invalid(format!("filter {} is not JSON", excerpt(text))).with_source(e))?;
        Self::from_json(&value)
    }

    /// Reads a filter from a JSON object. `{}` matches every chunk.
    pub fn from_json(value: &Value) -> Result<Self> {
        let filter = Reader { nodes: 0 }.filter(value, 1).unwrap_or_else(Self::wrong);
        filter.check()?;
        Ok(filter)
    }

    /// The filter as JSON. One that was built wrong gives `{"$invalid": "why"}`, which nothing reads.
    pub fn to_json(&self) -> Value {
        match &self.0 {
            Ok(expr) => expr.to_json(),
            Err(reason) => json!({"$invalid": reason}),
        }
    }
}

/// Counts what it meets.
struct Reader {
    nodes: usize,
}

impl Reader {
    fn filter(&mut self, value: &Value, depth: usize) -> Built<Filter> {
        if depth > FILTER_DEPTH_MAX {
            return Err(format!("nested deeper than the limit of {FILTER_DEPTH_MAX}: flatten it").into());
        }
        let Value::Object(map) = value else {
            return Err(
                format!("a filter is an object such as {{\"lang\": \"en\"}}, not {}", shown(value)).into()
            );
        };
        if map.is_empty() {
            self.count()?;
        }
        let mut parts = Vec::new();
        for (key, value) in map {
            self.count()?;
            match key.as_str() {
                "$and" => parts.push(Filter::all(self.list(key, value, depth)?)),
                "$or" => parts.push(Filter::any(self.list(key, value, depth)?)),
                "$not" => parts.push(Filter::not(self.filter(value, depth + 1)?)),
                operator if operator.starts_with('$') => return Err(unknown(operator).into()),
                path => self.field(path, value, &mut parts)?,
            }
        }
        Ok(Filter::all(parts))
    }

    fn list(&mut self, key: &str, value: &Value, depth: usize) -> Built<Vec<Filter>> {
        let Value::Array(items) = value else {
            return Err(format!("{key} takes an array of filters, not {}", shown(value)).into());
        };
        items.iter().map(|item| self.filter(item, depth + 1)).collect()
    }

    fn field(&mut self, path: &str, value: &Value, parts: &mut Vec<Filter>) -> Built<()> {
        let name = excerpt(path);
        match value {
            Value::Object(operators) if operators.is_empty() => {
                return Err(format!("{name}: the object holds no operator, such as {{\"$lt\": 200}}").into());
            }
            Value::Object(operators) => {
                for (i, (operator, operand)) in operators.iter().enumerate() {
                    if !operator.starts_with('$') {
                        let key = excerpt(operator);
                        return Err(format!("{name}: {key} is no operator; join nested keys by a dot").into());
                    }
                    if i > 0 {
                        self.count()?;
                    }
                    parts.push(Filter::condition(path, operator, operand));
                }
            }
            Value::Array(items) => {
                let len = items.len();
                return Err(format!(
                    "{name}: an array of {len} is no value; use $in for one of, $contains for an element"
                )
                .into());
            }
            scalar => parts.push(Filter::condition(path, "$eq", scalar)),
        }
        Ok(())
    }

    fn count(&mut self) -> Built<()> {
        self.nodes += 1;
        if self.nodes > FILTER_NODES_MAX {
            return Err(format!(
                "more conditions and connectives than the limit of {FILTER_NODES_MAX}: try $in for many values"
            )
            .into());
        }
        Ok(())
    }
}

impl Expr {
    fn to_json(&self) -> Value {
        let list = |parts: &[Self]| parts.iter().map(Self::to_json).collect::<Value>();
        match self {
            Self::All(parts) if parts.is_empty() => json!({}),
            Self::All(parts) => json!({"$and": list(parts)}),
            Self::Any(parts) => json!({"$or": list(parts)}),
            Self::Test(path, test) => field(path, test.to_json()),
            Self::Not(inner) => match &**inner {
                Self::Test(path, Test::In(values)) => match values.as_slice() {
                    [value] => field(path, json!({"$ne": value.to_json()})),
                    values => field(path, json!({"$nin": scalars(values)})),
                },
                Self::Test(path, Test::Exists) => field(path, json!({"$exists": false})),
                other => json!({"$not": other.to_json()}),
            },
        }
    }
}

impl Test {
    fn to_json(&self) -> Value {
        match self {
            Self::In(values) => match values.as_slice() {
                [value] => value.to_json(),
                values => json!({"$in": scalars(values)}),
            },
            Self::Number(range) => range.to_json(|n| n.to_number().into()),
            Self::Text(range) => range.to_json(|s| s.as_ref().into()),
            Self::Prefix(s) => json!({"$prefix": s}),
            Self::Contains(s) => json!({"$contains": s}),
            Self::Exists => json!({"$exists": true}),
        }
    }
}

impl Scalar {
    fn to_json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(b) => (*b).into(),
            Self::Num(n) => n.to_number().into(),
            Self::Str(s) => s.as_ref().into(),
        }
    }
}

impl<T> Range<T> {
    fn to_json(&self, value: fn(&T) -> Value) -> Value {
        match self {
            Self::Lt(v) => json!({"$lt": value(v)}),
            Self::Lte(v) => json!({"$lte": value(v)}),
            Self::Gt(v) => json!({"$gt": value(v)}),
            Self::Gte(v) => json!({"$gte": value(v)}),
            Self::Between(lo, hi) => json!({"$between": [value(lo), value(hi)]}),
        }
    }
}

fn field(path: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(path.to_owned(), value)]))
}

fn scalars(values: &[Scalar]) -> Value {
    values.iter().map(Scalar::to_json).collect()
}

/// Canonical JSON.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_canonical(&self.to_json()))
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter({self})")
    }
}

impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.check().map_err(serde::ser::Error::custom)?;
        self.to_json().serialize(s)
    }
}

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::from_json(&Value::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}
