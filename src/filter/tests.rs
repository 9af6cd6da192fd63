//! What filters mean (a table), and what they refuse (a table, and hostile input).

mod block;
mod differential;

use super::expr::{Expr, Range, Scalar, Test};
use super::*;
use crate::ErrorKind;
use crate::limits::*;
use crate::record::Map;
use serde_json::{Value, json};
use std::time::Instant;

fn map(value: Value) -> Map {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}

fn filter(value: Value) -> Filter {
    Filter::from_json(&value).unwrap()
}

fn matches(filter: &Filter, metadata: &Map) -> bool {
    filter.matches(metadata)
}

fn index_of(rows: &[(u16, Map)]) -> FieldIndex {
    let mut index = FieldIndex::default();
    for (row, metadata) in rows {
        index.insert(*row, metadata);
    }
    index
}

#[test]
fn the_oracle_means_what_the_table_says() {
    let rows = [
        ("en", json!({"lang": "en", "size": 100, "tags": ["python", "rust"], "by": {"name": "ann"}})),
        ("de", json!({"lang": "de", "size": 200.0, "tags": [], "draft": true, "by.name": "bob"})),
        (
            "no",
            json!({"size": "100", "tags": "pythonic", "draft": null, "by": [{"name": "ann"}, {"name": "cy"}]}),
        ),
        ("big", json!({"size": [[-0.0, 300], null], "n": 9_007_199_254_740_993i64, "by": {}})),
    ];
    let table = [
        (json!({}), "en de no big"),
        (json!({"lang": "en"}), "en"),
        (json!({"lang": {"$ne": "en"}}), "de no big"),
        (json!({"lang": {"$in": ["en", "de", 7]}}), "en de"),
        (json!({"lang": {"$in": []}}), ""),
        (json!({"lang": {"$nin": ["en"]}}), "de no big"),
        (json!({"lang": {"$nin": []}}), "en de no big"),
        (json!({"size": 100}), "en"),
        (json!({"size": 200}), "de"),
        (json!({"size": "100"}), "no"),
        (json!({"size": 0}), "big"),
        (json!({"size": {"$lt": 200}}), "en big"),
        (json!({"size": {"$lte": 200}}), "en de big"),
        (json!({"size": {"$gt": 200}}), "big"),
        (json!({"size": {"$gte": 2e2}}), "de big"),
        (json!({"size": {"$gt": ""}}), "no"),
        // Two conditions may hold of two elements; between is about one.
        (json!({"size": {"$gte": 50, "$lte": 250}}), "en de big"),
        (json!({"size": {"$between": [50, 250]}}), "en de"),
        (json!({"size": {"$between": [250, 50]}}), ""),
        (json!({"lang": {"$between": ["d", "df"]}}), "de"),
        (json!({"n": {"$gt": 9_007_199_254_740_992i64}}), "big"),
        (json!({"n": 9_007_199_254_740_992i64}), ""),
        (json!({"draft": null}), "no"),
        (json!({"size": null}), "big"),
        (json!({"draft": {"$ne": null}}), "en de big"),
        (json!({"draft": true}), "de"),
        (json!({"draft": {"$exists": true}}), "de no"),
        (json!({"draft": {"$exists": false}}), "en big"),
        (json!({"tags": {"$exists": true}}), "en de no"),
        (json!({"tags": "python"}), "en"),
        (json!({"tags": {"$prefix": "python"}}), "en no"),
        (json!({"tags": {"$contains": "python"}}), "en no"),
        (json!({"tags": {"$contains": "yth"}}), "no"),
        (json!({"tags": {"$contains": ""}}), "no"),
        (json!({"size": {"$contains": 300}}), "big"),
        (json!({"size": {"$contains": 100}}), "en"),
        (json!({"by.name": "ann"}), "en no"),
        (json!({"by.name": "bob"}), "de"),
        (json!({"by.name": {"$contains": "n"}}), "en no"),
        (json!({"by": {"$exists": true}}), "en no big"),
        (json!({"by.name": {"$exists": false}}), "big"),
        (json!({"$or": [{"lang": "en"}, {"size": {"$gt": 250}}]}), "en big"),
        (json!({"$and": [{"lang": {"$exists": true}}, {"$not": {"lang": "en"}}]}), "de"),
        (json!({"$and": []}), "en de no big"),
        (json!({"$not": {}}), ""),
        (json!({"draft": {"$exists": true}, "$or": [{"lang": "de"}, {"lang": "en"}]}), "de"),
    ];
    let rows = rows.map(|(name, metadata)| (name, map(metadata)));
    let numbered: Vec<_> = rows.iter().enumerate().map(|(i, (_, m))| (i as u16, m.clone())).collect();
    let mut index = index_of(&numbered);
    for frozen in [false, true] {
        for (json, names) in &table {
            let filter = filter(json.clone());
            let found: Vec<_> =
                rows.iter().filter(|(_, m)| matches(&filter, m)).map(|(name, _)| *name).collect();
            assert_eq!(found.join(" "), *names, "{json}");
            let found: Vec<_> = index.eval(&filter).iter().map(|i| rows[i as usize].0).collect();
            assert_eq!(found.join(" "), *names, "by index, frozen: {frozen}: {json}");
        }
        index.freeze();
    }
}

#[test]
fn the_builder_says_what_json_says() {
    let table = [
        (Filter::eq("a", 1), json!({"a": 1})),
        (Filter::ne("a", Value::Null), json!({"a": {"$ne": null}})),
        (Filter::lt("a", 1.5), json!({"a": {"$lt": 1.5}})),
        (Filter::lte("a", "x"), json!({"a": {"$lte": "x"}})),
        (Filter::gt("a", 1), json!({"a": {"$gt": 1}})),
        (Filter::gte("a", 1), json!({"a": {"$gte": 1.0}})),
        (Filter::between("a", 1, 2), json!({"a": {"$between": [1, 2]}})),
        (Filter::is_in("a", ["y", "x", "y"]), json!({"a": {"$in": ["x", "y"]}})),
        (Filter::is_in("a", ["x"]), json!({"a": "x"})),
        (Filter::not_in("a", [1, 2]), json!({"$not": {"a": {"$in": [2, 1]}}})),
        (Filter::exists("a", false), json!({"$not": {"a": {"$exists": true}}})),
        (Filter::prefix("a", "x"), json!({"a": {"$prefix": "x"}})),
        (Filter::contains("a", "x"), json!({"a": {"$contains": "x"}})),
        (Filter::contains("a", true), json!({"a": true})),
        (Filter::eq("a", 1) & Filter::eq("b", 2) & Filter::eq("a", 1), json!({"b": 2, "a": 1})),
        (Filter::eq("a", 1) | Filter::eq("b", 2), json!({"$or": [{"b": 2}, {"$or": [{"a": 1}]}]})),
        (!!!Filter::eq("a", 1), json!({"a": {"$ne": 1}})),
        (Filter::all([]), json!({})),
        (
            !Filter::any([Filter::eq("a", 1), Filter::eq("b", 2)]),
            json!({"$not": {"$or": [{"b": 2}, {"a": 1}]}}),
        ),
    ];
    for (built, json) in table {
        built.check().unwrap();
        assert_eq!(built, filter(json.clone()), "{json}");
        assert_eq!(Filter::parse(&built.to_string()).unwrap(), built);
        assert_eq!(serde_json::from_value::<Filter>(serde_json::to_value(&built).unwrap()).unwrap(), built);
    }
    let printed =
        filter(json!({"size": {"$lt": 200.0, "$gte": 1}, "$or": [{"b": "x"}, {"a": -0.0}]})).to_string();
    assert_eq!(printed, r#"{"$and":[{"size":{"$lt":200}},{"size":{"$gte":1}},{"$or":[{"a":0},{"b":"x"}]}]}"#);
}

#[test]
fn every_error_names_the_thing_and_the_limit() {
    let nested = |n| {
        (0..n).fold(json!({"a": 1}), |inner, i| {
            if i % 2 == 0 { json!({"$or": [inner, {"b": i}]}) } else { json!({"$not": inner}) }
        })
    };
    let many = |n: usize| (0..n).map(|i| json!({"a": i})).collect::<Value>();
    let values = |n: usize| (0..n).collect::<Value>();
    let path = "p".repeat(FILTER_PATH_BYTES_MAX + 1);
    let table = [
        (json!([]), "a filter is an object such as {\"lang\": \"en\"}, not an array of 0"),
        (json!("x"), "not \"x\""),
        (json!({"$xor": []}), "unknown operator \"$xor\"; the operators are $eq $ne"),
        (json!({"a": {"$gte2": 1}}), "\"a\": unknown operator \"$gte2\"; the operators are"),
        (json!({"a": {"$lt": 1, "b": 2}}), "\"a\": \"b\" is no operator; join nested keys by a dot"),
        (json!({"a": {"b": 1}}), "\"a\": \"b\" is no operator"),
        (json!({"a": {}}), "\"a\": the object holds no operator, such as {\"$lt\": 200}"),
        (json!({"a": [1, 2]}), "\"a\": an array of 2 is no value; use $in"),
        (
            json!({"a": {"$eq": {"b": 1}}}),
            "\"a\": $eq takes a string, a number, a boolean or null, not an object",
        ),
        (json!({"a": {"$lt": true}}), "\"a\": $lt takes a number or a string, not true"),
        (json!({"a": {"$gte": null}}), "\"a\": $gte takes a number or a string, not null"),
        (
            json!({"a": {"$between": 1}}),
            "\"a\": $between takes [low, high], two numbers or two strings, not 1",
        ),
        (json!({"a": {"$between": [1, 2, 3]}}), "two numbers or two strings, not an array of 3"),
        (json!({"a": {"$between": [1, "2"]}}), "$between takes [low, high]"),
        (json!({"a": {"$in": "x"}}), "$in takes an array of strings, numbers, booleans and nulls, not \"x\""),
        (json!({"a": {"$nin": [[1]]}}), "$nin takes an array of strings"),
        (json!({"a": {"$in": values(1025)}}), "\"a\": $in has 1025 values; the limit is 1024"),
        (json!({"a": {"$exists": 1}}), "\"a\": $exists takes true or false, not 1"),
        (json!({"a": {"$prefix": 1}}), "\"a\": $prefix takes a string, not 1"),
        (
            json!({"a": {"$contains": ["x"]}}),
            "\"a\": $contains takes a string, a number, a boolean or null, not an array",
        ),
        (json!({"$or": []}), "$or is empty; give at least one alternative"),
        (json!({"$or": {"a": 1}}), "$or takes an array of filters, not an object"),
        (json!({"$and": [{"a": 1}, 7]}), "a filter is an object such as {\"lang\": \"en\"}, not 7"),
        (json!({"$not": [{"a": 1}]}), "not an array of 1"),
        (json!({path: 1}), "has 513 bytes; the limit is 512"),
        (nested(FILTER_DEPTH_MAX), "nested deeper than the limit of 8: flatten it"),
        (
            json!({"$or": many(FILTER_NODES_MAX)}),
            "more conditions and connectives than the limit of 64: try $in",
        ),
        (json!({"a": "x".repeat(100), "b": {"$lt": false}}), "$lt takes"),
        (json!({"a": {"$lt": 1, "x".repeat(100): 1}}), "xxxx\"... (100 bytes) is no operator"),
    ];
    for (json, part) in table {
        let error = Filter::from_json(&json).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(
            error.message().starts_with("filter: ") && error.message().contains(part),
            "{error} lacks {part}"
        );
        assert!(error.message().len() < 300, "{error}");
        serde_json::from_value::<Filter>(json).unwrap_err();
    }
    let error = Filter::parse("{a: 1}").unwrap_err().to_string();
    assert!(error.starts_with("filter \"{a: 1}\" is not JSON: key must be a string"), "{error}");
    for json in [
        nested(FILTER_DEPTH_MAX - 1),
        json!({"$or": many(FILTER_NODES_MAX - 1)}),
        json!({"a": {"$in": values(1024)}}),
    ] {
        let filter = filter(json);
        assert_eq!(Filter::parse(&filter.to_string()).unwrap(), filter, "the limits themselves hold");
    }
}

#[test]
fn the_builder_keeps_its_first_mistake() {
    let deep =
        (0..10_000).fold(Filter::eq("a", 1), |inner, i| (inner & Filter::eq("b", i)) | Filter::eq("c", i));
    let wide = Filter::all((0..10_000).map(|i| Filter::eq("a", i)));
    let table = [
        (Filter::eq("$a", 1), "unknown operator \"$a\""),
        (Filter::lt("a", f64::NAN), "$lt takes a number or a string, not null"),
        (Filter::any([]), "$or is empty"),
        (Filter::eq("x", json!({})) & Filter::any([]), "\"x\": $eq takes"),
        (!Filter::eq("x", json!([])), "\"x\": $eq takes"),
        (Filter::is_in("a", 0..1025), "1025 values; the limit is 1024"),
        (deep, "nested 9 deep; the limit is 8"),
        (wide, "10001 conditions and connectives; the limit is 64"),
    ];
    let row = map(json!({"a": 1}));
    for (filter, part) in table {
        let error = filter.check().unwrap_err();
        assert!(error.message().contains(part), "{error} lacks {part}");
        assert!(!matches(&filter, &row) && index_of(&[(0, row.clone())]).eval(&filter).is_empty());
        Filter::from_json(&filter.to_json()).unwrap_err();
        serde_json::to_value(&filter).unwrap_err();
    }
}

#[test]
fn hostile_json_is_refused_at_once() {
    // Built by hand, as a host may: the JSON parser itself refuses such depth.
    let object = |key: &str, value| Value::Object(Map::from_iter([(key.to_owned(), value)]));
    let deep = |wrap: &dyn Fn(Value) -> Value| (0..20_000).fold(Value::Null, |inner, _| wrap(inner));
    let arrays = || deep(&|v| Value::Array(vec![v]));
    let wide: Value = (0..100_000).map(|_| json!({})).collect();
    let fan = (0..5).fold(json!({"a": 1}), |inner, _| json!({"$or": vec![inner; 8]}));
    for hostile in [
        deep(&|v| object("$not", v)),
        deep(&|v| object("$and", Value::Array(vec![v]))),
        object("a", object("$eq", arrays())),
        object("a", object("$in", arrays())),
        json!({"$or": wide.clone()}),
        json!({"a": {"$in": wide}}),
        fan,
    ] {
        let start = Instant::now();
        Filter::from_json(&hostile).unwrap_err();
        assert!(start.elapsed().as_millis() < 100);
        drop_deep(hostile);
    }
    Filter::parse(&"{\"$not\":".repeat(100_000)).unwrap_err();
}

/// Dropping a deep value recurses; that is the host's problem, but not this test's.
fn drop_deep(value: Value) {
    let mut queue = vec![value];
    while let Some(value) = queue.pop() {
        match value {
            Value::Array(items) => queue.extend(items),
            Value::Object(map) => queue.extend(map.into_iter().map(|(_, value)| value)),
            _ => {}
        }
    }
}

#[test]
fn long_paths_are_not_indexed() {
    let key = "k".repeat(300);
    let deep: Value = (0..30).fold(json!(1), |inner, _| json!({key.clone(): inner}));
    let index = index_of(&[(7, map(json!({"a": 1, "b": deep})))]);
    assert!(index.heap_bytes() < 20_000, "{}", index.heap_bytes());
    assert_eq!(index.eval(&Filter::exists(format!("b.{key}"), true)).iter().collect::<Vec<_>>(), [7]);
    assert!(Filter::exists(format!("b.{key}.{key}"), true).check().is_err());
}

#[test]
fn the_normal_form_is_sorted_and_flat() {
    let Ok(Expr::All(parts)) =
        filter(json!({"b": {"$in": [2, 1, 2]}, "$and": [{"a": 1}, {"$and": [{"c": 1}, {"a": 1}]}]})).0
    else {
        panic!("not an All")
    };
    assert_eq!(parts.len(), 3);
    assert!(parts.is_sorted());
    assert!(
        matches!(&parts[1], Expr::Test(path, Test::In(values)) if &**path == "b" && values.is_sorted() && values.len() == 2)
    );
    let number = |n: i64| crate::record::Num::of(&n.into()).unwrap();
    assert!(Scalar::Num(number(1)) < Scalar::Num(number(2)) && Range::Lt(number(1)) < Range::Lt(number(2)));
}
