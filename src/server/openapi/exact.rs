//! What types alone do not say of a schema: which fields exclude each other, what a filter is, how far a float reaches.

use super::super::migrate::{EMBEDDING, FIELDS};
use super::super::wire::MigrateStep;
use crate::limits::{FILTER_IN_MAX, FILTER_PATH_BYTES_MAX};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The words that a filter may begin with.
const OF_FILTERS: &str = "Filter";

/// Completes the schemas of types.
pub(super) fn complete(schemas: &mut BTreeMap<String, Value>) {
    schemas.values_mut().for_each(bound_floats);
    let vectors = [("vector", "array"), ("vector_b64", "string")];
    add(schemas, "RangeBody", "oneOf", one_of(&vectors));
    // A text may stand beside a vector, or alone.
    let mut asked = one_of(&vectors);
    let alone = json!({
        "required": ["text"],
        "properties": {"text": {"type": "string"}, "vector": {"type": "null"}, "vector_b64": {"type": "null"}}
    });
    asked.as_array_mut().into_iter().for_each(|all| all.push(alone.clone()));
    add(schemas, "SearchBody", "oneOf", asked);
    let picks = [("ids", "array"), ("document_id", "string"), ("filter", "object")];
    add(schemas, "DeleteBody", "oneOf", one_of(&picks));
    let repair = json!({"properties": {"mode": {"const": "repair"}, "trust": {"type": "string"}}, "required": ["trust"]});
    let others = json!({"properties": {"mode": {"enum": ["push", "pull", "audit", "rebuild"]}}});
    add(schemas, "SyncBody", "anyOf", json!([repair, others]));
    let orders: Vec<Value> = MigrateStep::ALL.into_iter().flat_map(orders).collect();
    add(schemas, "MigrateBody", "anyOf", orders.into());
    let retry = json!({"type": "boolean", "const": true, "description": "Must be true."});
    schemas.entry("RetryBody".to_owned()).and_modify(|schema| schema["properties"]["retry"] = retry);
    schemas.insert(OF_FILTERS.to_owned(), filter());
}

fn add(schemas: &mut BTreeMap<String, Value>, name: &str, key: &str, value: Value) {
    if let Some(schema) = schemas.get_mut(name) {
        schema[key] = value;
    }
}

/// Exactly one of the fields is there; null is as good as absent.
fn one_of(fields: &[(&str, &str)]) -> Value {
    let only = |(name, kind): &(&str, &str)| {
        let properties: Map<String, Value> = fields
            .iter()
            .map(|(other, _)| {
                ((*other).to_owned(), json!({"type": if other == name { kind } else { "null" }}))
            })
            .collect();
        json!({"required": [name], "properties": properties})
    };
    fields.iter().map(only).collect()
}

/// What the order of a step of a migration may have; null is as good as absent.
fn orders(step: MigrateStep) -> Vec<Value> {
    let nothing = |name: &str| (name.to_owned(), json!({"type": "null"}));
    let mut fields: Map<String, Value> =
        FIELDS.iter().filter(|(_, of)| !of.contains(&step)).map(|(name, _)| nothing(name)).collect();
    fields.insert("step".to_owned(), json!({"const": step}));
    let with = |fields: &Map<String, Value>, none: &[&str]| {
        let mut fields = fields.clone();
        fields.extend(none.iter().map(|name| nothing(name)));
        let required: &[&str] = if EMBEDDING.contains(&step) { &["embedding"] } else { &[] };
        json!({"properties": fields, "required": required})
    };
    if EMBEDDING.contains(&step) {
        fields.insert("embedding".to_owned(), json!({"type": "object"}));
    }
    match step {
        MigrateStep::Compare => vec![with(&fields, &["queries"]), with(&fields, &["rows", "seed"])],
        _ => vec![with(&fields, &[])],
    }
}

/// A number beyond a 32-bit float is refused.
fn bound_floats(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("format").is_some_and(|format| format == "float") {
                map.entry("minimum").or_insert(json!(f64::from(f32::MIN)));
                map.entry("maximum").or_insert(json!(f64::from(f32::MAX)));
            }
            map.values_mut().for_each(bound_floats);
        }
        Value::Array(items) => items.iter_mut().for_each(bound_floats),
        _ => {}
    }
}

/// Paths with conditions, and filters joined by words. How deep and how large they may be stands in the description.
fn filter() -> Value {
    let itself = json!({"$ref": format!("#/components/schemas/{OF_FILTERS}")});
    let scalar = json!({"type": ["string", "number", "boolean", "null"]});
    let some = json!({"type": "array", "maxItems": FILTER_IN_MAX, "items": scalar});
    let ordered = json!({"type": ["number", "string"]});
    let pair = |kind: &str| json!({"type": "array", "items": {"type": kind}, "minItems": 2, "maxItems": 2});
    let operators = json!({
        "type": "object",
        "minProperties": 1,
        "additionalProperties": false,
        "properties": {
            "$eq": scalar, "$ne": scalar, "$in": some, "$nin": some,
            "$lt": ordered, "$lte": ordered, "$gt": ordered, "$gte": ordered,
            "$between": {"oneOf": [pair("number"), pair("string")]},
            "$exists": {"type": "boolean"}, "$prefix": {"type": "string"}, "$contains": scalar
        }
    });
    // Characters have four bytes at most.
    let path = format!("^[^$].{{0,{}}}$", FILTER_PATH_BYTES_MAX / 4 - 1);
    json!({
        "type": "object",
        "description": "Which chunks, by their metadata: {\"lang\": \"en\", \"size\": {\"$lt\": 200}, \"$or\": [..]}. Nested at most 8 deep, with at most 64 conditions and connectives.",
        "properties": {
            "$and": {"type": "array", "items": itself},
            "$or": {"type": "array", "items": itself, "minItems": 1},
            "$not": itself
        },
        "patternProperties": {path: {"oneOf": [scalar, operators]}},
        "additionalProperties": false
    })
}
