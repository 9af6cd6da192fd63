//! The index answers as the oracle does, on random rows and random filters, open, frozen and in between.

use super::super::strings::Strings;
use super::*;
use proptest::prelude::*;

/// Few keys, few values, many coincidences: equal numbers in two types, neighbours beyond 2^53, strings that share
/// beginnings and byte boundaries, dots in keys.
fn scalar() -> impl Strategy<Value = Value> {
    let text = prop::sample::select(vec![
        "",
        "a",
        "ab",
        "aba",
        "b",
        "\u{e9}",
        "\u{e9}a",
        "a\u{10ffff}",
        "abab",
        "z\u{0}",
    ]);
    let int =
        prop::sample::select(vec![0, -1, 1, 2, 1 << 53, (1 << 53) + 1, i64::MAX, i64::MAX - 1, i64::MIN]);
    let float = prop::sample::select(vec![
        -0.0,
        1.0,
        1.5,
        -1e300,
        9_007_199_254_740_992.0,
        (1u64 << 63) as f64,
        5e-324,
    ]);
    prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        3 => int.prop_map(Value::from),
        1 => prop::sample::select(vec![u64::MAX, u64::MAX - 1, 1 << 63]).prop_map(Value::from),
        2 => float.prop_map(Value::from),
        4 => text.prop_map(Value::from),
    ]
}

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "a.b", "b.a", "", ".", "a."]).prop_map(str::to_owned)
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(key(), 1..3).prop_map(|keys| keys.join("."))
}

fn metadata() -> impl Strategy<Value = Map> {
    let object =
        |value: BoxedStrategy<Value>| prop::collection::vec((key(), value), 0..4).prop_map(Map::from_iter);
    let value = scalar().prop_recursive(3, 12, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            object(inner.boxed()).prop_map(Value::from),
        ]
    });
    object(value.boxed())
}

fn condition() -> impl Strategy<Value = Filter> {
    let compare = prop::sample::select(vec!["$lt", "$lte", "$gt", "$gte", "$eq", "$ne", "$contains"]);
    let text = scalar().prop_filter_map("a string", |v| v.as_str().map(str::to_owned));
    let ordered = scalar().prop_filter("ordered", |v| v.is_number() || v.is_string()).boxed();
    let pair =
        (ordered.clone(), ordered.clone()).prop_filter("alike", |(a, b)| a.is_string() == b.is_string());
    prop_oneof![
        4 => (path(), compare, ordered).prop_map(|(p, op, v)| Filter::condition(&p, op, &v)),
        1 => (path(), pair).prop_map(|(p, (lo, hi))| Filter::between(p, lo, hi)),
        1 => (path(), prop::collection::vec(scalar(), 0..5)).prop_map(|(p, v)| Filter::is_in(p, v)),
        1 => (path(), prop::collection::vec(scalar(), 0..5)).prop_map(|(p, v)| Filter::not_in(p, v)),
        1 => (path(), scalar()).prop_map(|(p, v)| Filter::contains(p, v)),
        1 => (path(), text).prop_map(|(p, v)| Filter::prefix(p, v)),
        1 => (path(), any::<bool>()).prop_map(|(p, v)| Filter::exists(p, v)),
    ]
}

fn any_filter() -> impl Strategy<Value = Filter> {
    condition().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Filter::all),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Filter::any),
            inner.prop_map(Filter::not),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_index_answers_as_the_oracle(
        rows in prop::collection::btree_map(any::<u16>(), metadata(), 0..24),
        filters in prop::collection::vec(any_filter(), 1..8),
        frozen_from in 0..24usize,
        frozen in any::<bool>(),
    ) {
        let mut index = FieldIndex::default();
        for (i, (row, metadata)) in rows.iter().enumerate() {
            // Freezing early, and inserting on, is slow but right.
            if i == frozen_from {
                index.freeze();
            }
            index.insert(*row, metadata);
        }
        if frozen {
            index.freeze();
        }
        prop_assert_eq!(index.rows(), rows.len());
        for filter in filters {
            filter.check().unwrap();
            let expected: Vec<u32> = rows.iter().filter(|(_, m)| matches(&filter, m)).map(|(r, _)| u32::from(*r)).collect();
            let found: Vec<u32> = index.eval(&filter).iter().collect();
            prop_assert_eq!(found, expected, "{}", filter);
        }
    }

    /// Two letters, so that every part occurs somewhere, most often across the end of a string.
    #[test]
    fn strings_are_found_where_they_are(all in prop::collection::vec("[ab]{0,5}", 0..40), part in "[ab]{0,3}") {
        let mut strings = Strings::default();
        for (row, s) in all.iter().enumerate() {
            strings.insert(s, row as u16);
        }
        for sealed in [false, true] {
            type Find = fn(&Strings, &str, &mut BlockMask);
            type Is = fn(&str, &str) -> bool;
            let ways: [(Find, Is); 3] = [
                (Strings::or_equal, |s, part| s == part),
                (Strings::or_prefix, |s, part| s.starts_with(part)),
                (Strings::or_containing, |s, part| s.contains(part)),
            ];
            for (find, is) in ways {
                let mut found = [0; 1024];
                find(&strings, &part, &mut found);
                let expected: Vec<u32> = (0..).zip(&all).filter(|(_, s)| is(s, &part)).map(|(row, _)| row).collect();
                prop_assert_eq!(to_roaring(&found).iter().collect::<Vec<_>>(), expected, "sealed: {}", sealed);
            }
            strings.seal();
        }
    }

    #[test]
    fn filters_survive_json(filter in any_filter()) {
        prop_assert_eq!(&Filter::from_json(&filter.to_json()).unwrap(), &filter);
        let text = filter.to_string();
        let again = Filter::parse(&text).unwrap();
        prop_assert_eq!(&again, &filter);
        prop_assert_eq!(again.to_string(), text);
    }

    #[test]
    fn the_complement_is_exact(filter in any_filter(), metadata in metadata()) {
        prop_assert_ne!(matches(&filter, &metadata), matches(&!filter, &metadata));
    }
}
