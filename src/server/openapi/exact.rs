//! What types alone do not say of a schema: which fields exclude each other, what a filter is, how far a float reaches.

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
    let embeds = json!({
        "properties": {"step": {"enum": ["estimate", "fill", "compare", "switch"]}, "embedding": {"type": "object"}},
        "required": ["embedding"]
    });
    let names = json!({"properties": {"step": {"enum": ["undo", "drop"]}, "embedding": {"type": "null"}}});
    add(schemas, "MigrateBody", "anyOf", json!([embeds, names]));
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
