//! Goal: no argument makes a call panic, and what is refused says which value was wrong and what the limit is.
//! Method: random calls whose arguments are often hostile. The test knows beforehand which of them must be refused and what
//! the message must say; everything else must be answered. A table pins the wording of the main refusals.

use nearfield::{Chunk, Collection, Error, ErrorKind, Filter, Include, Metric, Schema, Search, Store};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};

/// What a refusal must say: all parts of one of these. None: the call must be answered.
type Faults = Vec<Vec<String>>;

fn fault<const N: usize>(parts: [&dyn std::fmt::Display; N]) -> Vec<String> {
    parts.iter().map(|p| p.to_string()).collect()
}

#[track_caller]
fn verdict<T>(got: Result<T, Error>, faults: &Faults) -> Option<T> {
    match got {
        Ok(answer) => {
            assert!(faults.is_empty(), "answered, but should say one of {faults:?}");
            Some(answer)
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
            assert_says(error.message(), faults);
            None
        }
    }
}

#[track_caller]
fn assert_says(message: &str, faults: &Faults) {
    let says = |parts: &Vec<String>| parts.iter().all(|part| message.contains(part));
    assert!(faults.iter().any(says), "{message:?} says none of {faults:?}");
    assert!(message.len() < 2_000, "a message of {} bytes", message.len());
}

#[derive(Clone, Debug)]
enum Call {
    Upsert(Vec<Hostile>),
    Delete(Vec<String>),
    DeleteDocument(String),
    DeleteWhere(Asked),
    Get(Vec<String>),
    Document(String),
    Scroll(Option<Asked>, Option<u32>, usize),
    Count(Option<Asked>),
    Search(Question),
    Batch(Vec<Question>, usize),
    Range(Vec<f32>, f32, usize, Option<Asked>),
    Heal,
}

/// A chunk, and what makes it inadmissible whatever the collection.
#[derive(Clone, Debug)]
struct Hostile {
    chunk: Chunk,
    faults: Faults,
}

/// A filter and what is wrong with it.
#[derive(Clone, Debug)]
struct Asked {
    filter: Filter,
    faults: Faults,
}

#[derive(Clone, Debug)]
struct Question {
    query: Vec<f32>,
    k: usize,
    ef: Option<usize>,
    max_distance: Option<f32>,
    min_score: Option<f32>,
    lambda: Option<f32>,
    exact: bool,
    group: bool,
    filter: Option<Asked>,
}

fn value() -> impl Strategy<Value = f32> {
    prop_oneof![
        12 => -2.0f32..2.0,
        2 => prop::sample::select(vec![0.0, -0.0, 1.0, 1e-10, 1e-20, 1e-40, f32::MIN_POSITIVE, 1e17]),
        1 => prop::sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e19]),
    ]
}

/// Mostly of the dimensions that the collections have.
fn vector() -> impl Strategy<Value = Vec<f32>> {
    prop_oneof![
        3 => vec(value(), 1),
        3 => vec(value(), 3),
        3 => vec(value(), 5),
        3 => vec(-1.0f32..1.0, 3),
        1 => (prop::sample::select(vec![1, 3, 5]), prop::sample::select(vec![0.0f32, -0.0])).prop_map(|(n, x)| vec![x; n]),
        1 => vec(value(), 0..8),
    ]
}

fn number() -> impl Strategy<Value = f32> {
    prop_oneof![4 => -3.0f32..3.0, 3 => any::<f32>()]
}

/// Names of chunks, documents and tenants: few, so that calls meet.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        20 => "[abc]{1,2}",
        1 => Just(String::new()),
        1 => Just("x".repeat(512)),
        1 => Just("x".repeat(513)),
        1 => Just("\u{e9}".repeat(300)),
        1 => Just("a\0b".to_owned()),
        1 => Just("'; drop table chunks; --\u{202e}\n".to_owned()),
    ]
}

fn name_faults(what: &str, name: &str) -> Faults {
    match name.len() {
        0 => vec![fault([&format!("{what} is empty"), &512])],
        1..=512 if name.contains('\0') => vec![fault([&format!("{what} holds \\u0000 at byte 1")])],
        1..=512 => vec![],
        len => vec![fault([&format!("{what} has {len} bytes"), &512])],
    }
}

fn nested(depth: usize, array: bool) -> Value {
    (0..depth).fold(json!(1), |inner, _| if array { json!([inner]) } else { json!({"k": inner}) })
}

fn metadata() -> impl Strategy<Value = (Map<String, Value>, Faults)> {
    let of = |key: &str, value: Value, faults| (Map::from_iter([(key.to_owned(), value)]), faults);
    prop_oneof![
        12 => Just((Map::new(), vec![])),
        12 => (0..9i64).prop_map(move |n| of("n", json!(n), vec![])),
        1 => any::<f64>().prop_map(move |x| of("n", json!(x), vec![])),
        1 => any::<bool>().prop_map(move |array| of("deep", nested(31, array), vec![])),
        1 => (32..1_000usize, any::<bool>())
            .prop_map(move |(depth, array)| of("deep", nested(depth, array), vec![fault([&"nested deeper", &32])])),
        1 => Just(of("nul", json!(["a", {"b": "\0"}]), vec![fault([&"\\u0000 at byte 0"])])),
        1 => Just(of("a\0", json!(1), vec![fault([&"a metadata key holds \\u0000 at byte 1"])])),
        1 => Just(of("big", json!("x".repeat(70_000)), vec![fault([&"metadata has 70010 bytes", &65_536])])),
        1 => Just(of(&"k".repeat(600), json!({"$lt": [null, true, "", {"": {}}]}), vec![])),
    ]
}

fn chunk() -> impl Strategy<Value = Hostile> {
    let text =
        prop_oneof![6 => "[a-z ]{0,9}", 1 => Just("\0".to_owned()), 1 => Just("\u{10ffff}".to_owned())];
    let option = |s| prop::option::weighted(0.3, s);
    (
        (name(), prop::option::weighted(0.9, vector()), option(text.boxed()), option(name().boxed())),
        (
            prop_oneof![9 => 0..5u32, 1 => any::<u32>()],
            option(name().boxed()),
            option(name().boxed()),
            metadata(),
        ),
    )
        .prop_map(|((id, vector, text, document), (index, tenant, model, (metadata, mut faults)))| {
            faults.extend(name_faults("id", &id));
            for (what, name) in [("document_id", &document), ("tenant", &tenant), ("embedding_model", &model)]
            {
                faults.extend(name.iter().flat_map(|name| name_faults(what, name)));
            }
            if vector.is_none() && text.as_deref().unwrap_or_default().is_empty() {
                faults.push(fault([&"neither a vector nor a text"]));
            }
            if text.as_ref().is_some_and(|t| t.contains('\0')) {
                faults.push(fault([&"text holds \\u0000 at byte 0"]));
            }
            if index > i32::MAX as u32 {
                faults.push(fault([&format!("chunk_index is {index}"), &i32::MAX]));
            }
            let chunk = Chunk {
                id,
                vector,
                text,
                document_id: document,
                chunk_index: index,
                metadata,
                tenant,
                embedding_model: model,
            };
            Hostile { chunk, faults }
        })
}

fn filter() -> impl Strategy<Value = Asked> {
    let fine = |filter| Asked { filter, faults: vec![] };
    let wrong = |filter, faults: Vec<String>| Asked { filter, faults: vec![faults] };
    let deep = |depth: usize| {
        // Alternating, because equal connectives merge.
        (1..depth).fold(Filter::eq("n", 1), |inner, at| {
            let other = Filter::eq("m", at);
            if at % 2 == 0 { inner & other } else { inner | other }
        })
    };
    let wide = |n: usize| Filter::any((0..n).map(|at| Filter::eq("n", at)));
    prop_oneof![
        6 => (0..9i64).prop_map(move |n| fine(Filter::lt("n", n))),
        2 => (0..9i64).prop_map(move |n| fine(!Filter::eq("n", n) & Filter::exists("n", true))),
        1 => any::<f64>().prop_map(move |x| fine(Filter::ne("n", x))),
        1 => (2..=8usize).prop_map(move |depth| fine(deep(depth))),
        1 => (9..40usize).prop_map(move |depth| wrong(deep(depth), fault([&"filter: nested 9 deep", &8]))),
        1 => (2..=63usize).prop_map(move |n| fine(wide(n))),
        1 => (64..90usize).prop_map(move |n| wrong(wide(n), fault([&format!("filter: {} conditions", n + 1), &64]))),
        1 => (1_025..1_100usize).prop_map(move |n| {
            wrong(Filter::is_in("n", 0..n), fault([&format!("$in has {n} values"), &1_024]))
        }),
        1 => (513..600usize).prop_map(move |n| {
            wrong(Filter::eq("p".repeat(n), 1), fault([&format!("has {n} bytes"), &512]))
        }),
        1 => Just(wrong(Filter::any([]), fault([&"$or is empty"]))),
        1 => Just(wrong(Filter::lt("n", true), fault([&"$lt takes a number or a string, not true"]))),
        1 => Just(wrong(Filter::eq("$where", 1), fault([&"unknown operator \"$where\""]))),
        1 => Just(wrong(Filter::lt("n", f64::NAN), fault([&"$lt takes a number or a string, not null"]))),
        1 => Just(wrong(Filter::between("n", 1, "x"), fault([&"$between takes [low, high]"]))),
        1 => Just(wrong(Filter::eq("n", nested(900, true)), fault([&"$eq takes", &"an array of 1"]))),
        1 => Just(fine(Filter::contains("", "\0") | Filter::prefix("..", ""))),
    ]
}

fn size(max: usize) -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 1..40usize,
        1 => Just(0),
        1 => prop::sample::select(vec![max, max + 1, usize::MAX]),
        1 => any::<usize>(),
    ]
}

fn question() -> impl Strategy<Value = Question> {
    let option = |p: f64| move |s: BoxedStrategy<f32>| prop::option::weighted(p, s);
    (
        (vector(), size(10_000), prop::option::weighted(0.4, size(4_096))),
        (
            option(0.2)(number().boxed()),
            option(0.2)(number().boxed()),
            option(0.3)(prop_oneof![3 => 0.0f32..=1.0, 1 => number()].boxed()),
        ),
        (any::<bool>(), any::<bool>(), prop::option::weighted(0.3, filter())),
    )
        .prop_map(|((query, k, ef), (max_distance, min_score, lambda), (exact, group, filter))| {
            Question { query, k, ef, max_distance, min_score, lambda, exact, group, filter }
        })
}

fn call() -> impl Strategy<Value = Call> {
    let option = || prop::option::weighted(0.5, filter());
    prop_oneof![
        8 => vec(chunk(), 0..40).prop_map(Call::Upsert),
        1 => vec(name(), 0..6).prop_map(Call::Delete),
        1 => name().prop_map(Call::DeleteDocument),
        1 => filter().prop_map(Call::DeleteWhere),
        2 => vec(name(), 0..6).prop_map(Call::Get),
        1 => name().prop_map(Call::Document),
        2 => (option(), prop::option::of(any::<u32>()), size(100)).prop_map(|(f, c, n)| Call::Scroll(f, c, n)),
        2 => option().prop_map(Call::Count),
        8 => question().prop_map(Call::Search),
        2 => (vec(question(), 0..4), size(256)).prop_map(|(q, n)| Call::Batch(q, n)),
        3 => (vector(), number(), size(10_000), option()).prop_map(|(q, d, n, f)| Call::Range(q, d, n, f)),
        1 => Just(Call::Heal),
    ]
}

fn query_faults(schema: &Schema, query: &[f32]) -> Faults {
    let mut faults = vec![];
    if query.len() != schema.dim {
        faults.push(fault([
            &format!("the query has {} dimensions", query.len()),
            &format!("has {}", schema.dim),
        ]));
    }
    if let Some(at) = query.iter().position(|x| !x.is_finite()) {
        faults.push(fault([&format!("the query has {} at position {at}", query[at])]));
    }
    let norm: f64 = query.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    if norm > 1e37 {
        faults.push(fault([&"the query's squared length is", &"1e37"]));
    }
    if schema.metric == Metric::Cosine && norm < 1e-30 {
        faults.push(fault([&"the query's squared length is", &"1e-30"]));
    }
    faults
}

fn vector_faults(schema: &Schema, vector: &[f32]) -> Faults {
    let mut faults = vec![];
    if vector.len() != schema.dim {
        let parts =
            fault([&format!("vector has {} dimensions", vector.len()), &format!("has {}", schema.dim)]);
        faults.push(parts);
    }
    if let Some(at) = vector.iter().position(|x| !x.is_finite()) {
        faults.push(fault([&format!("vector[{at}] is {}", vector[at])]));
    }
    let norm: f64 = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    if norm > 1e37 {
        faults.push(fault([&"vector has a squared length of", &"1e37"]));
    }
    if schema.metric == Metric::Cosine && norm == 0.0 {
        faults.push(fault([&"vector is all zeros"]));
    } else if schema.metric == Metric::Cosine && norm < 1e-30 {
        faults.push(fault([&"vector has a squared length of", &"1e-30"]));
    }
    faults
}

fn filter_faults(filter: &Option<Asked>) -> Faults {
    filter.iter().flat_map(|f| f.faults.clone()).collect()
}

fn filter_of(filter: &Option<Asked>) -> Option<Filter> {
    filter.as_ref().map(|f| f.filter.clone())
}

impl Question {
    fn faults(&self, schema: &Schema) -> Faults {
        let mut faults = query_faults(schema, &self.query);
        faults.extend(filter_faults(&self.filter));
        if !(1..=10_000).contains(&self.k) {
            faults.push(fault([&format!("k is {}", self.k), &"1 to 10000"]));
        }
        if let Some(ef) = self.ef.filter(|ef| !(1..=4_096).contains(ef)) {
            faults.push(fault([&format!("ef is {ef}"), &"1 to 4096"]));
        }
        for (what, value) in [("max_distance", self.max_distance), ("min_score", self.min_score)] {
            if value.is_some_and(f32::is_nan) {
                faults.push(fault([&what, &"is NaN"]));
            }
        }
        if let Some(lambda) = self.lambda.filter(|l| !(0.0..=1.0).contains(l)) {
            faults.push(fault([&format!("lambda is {lambda}"), &"0 to 1"]));
        }
        faults
    }

    fn search<'a>(&'a self, docs: &'a Collection) -> Search<'a> {
        let mut search = docs.search(&self.query).k(self.k).exact(self.exact).group_by_document(self.group);
        search = search.filter(filter_of(&self.filter)).include(Include::ALL);
        if let Some(ef) = self.ef {
            search = search.ef(ef);
        }
        if let Some(distance) = self.max_distance {
            search = search.max_distance(distance);
        }
        if let Some(score) = self.min_score {
            search = search.min_score(score);
        }
        if let Some(lambda) = self.lambda {
            search = search.mmr(lambda);
        }
        search
    }

    fn check(&self, got: &nearfield::Response) {
        let all = self.k.min(got.explain.candidates);
        assert!(got.hits.len() <= all);
        if self.max_distance.is_none() && self.min_score.is_none() && !self.group {
            assert_eq!(got.hits.len(), all, "{:?}", got.explain);
        }
        assert!(got.hits.iter().all(|h| h.distance.is_finite() && h.score.is_finite()), "{:?}", got.hits);
    }
}

fn make(docs: &Collection, call: &Call) {
    let schema = docs.schema().clone();
    match call {
        Call::Upsert(chunks) => {
            let ack = docs.upsert(chunks.iter().map(|h| h.chunk.clone())).unwrap();
            assert_eq!((ack.results.len(), ack.upserted + ack.rejected), (chunks.len(), chunks.len()));
            for (hostile, result) in chunks.iter().zip(ack.results) {
                let mut faults = hostile.faults.clone();
                faults.extend(hostile.chunk.vector.iter().flat_map(|v| vector_faults(&schema, v)));
                match result.rejected {
                    None => assert!(faults.is_empty(), "stored, but should say one of {faults:?}"),
                    Some(reason) => assert_says(&reason, &faults),
                }
            }
        }
        Call::Delete(ids) => drop(docs.delete(ids.iter().map(String::as_str)).unwrap()),
        Call::DeleteDocument(id) => drop(docs.delete_document(id).unwrap()),
        Call::DeleteWhere(asked) => drop(verdict(docs.delete_where(&asked.filter), &asked.faults)),
        Call::Get(ids) => assert_eq!(docs.get_many(ids.iter().map(String::as_str)).unwrap().len(), ids.len()),
        Call::Document(id) => drop(docs.document(id).unwrap()),
        Call::Scroll(filter, cursor, limit) => {
            let page = docs.scroll(filter_of(filter).as_ref(), *cursor, *limit);
            let mut faults = filter_faults(filter);
            if *limit == 0 {
                faults.push(fault([&"limit is 0", &"at least 1"]));
            }
            if let Some(page) = verdict(page, &faults) {
                assert!(page.chunks.len() <= *limit);
            }
        }
        Call::Count(filter) => drop(verdict(docs.count(filter_of(filter).as_ref()), &filter_faults(filter))),
        Call::Search(question) => {
            if let Some(got) = verdict(question.search(docs).run(), &question.faults(&schema)) {
                question.check(&got);
            }
        }
        Call::Batch(questions, threads) => {
            let searches: Vec<Search<'_>> = questions.iter().map(|q| q.search(docs)).collect();
            let faults = questions.iter().flat_map(|q| q.faults(&schema)).collect();
            if let Some(got) = verdict(docs.search_batch(&searches, *threads), &faults) {
                assert_eq!(got.len(), questions.len());
                questions.iter().zip(&got).for_each(|(question, got)| question.check(got));
            }
        }
        Call::Range(query, distance, limit, filter) => {
            let mut faults = query_faults(&schema, query);
            faults.extend(filter_faults(filter));
            if !(1..=10_000).contains(limit) {
                faults.push(fault([&format!("limit is {limit}"), &"1 to 10000"]));
            }
            if distance.is_nan() {
                faults.push(fault([&"max_distance is NaN"]));
            }
            let got = docs.range(query, *distance).limit(*limit).filter(filter_of(filter)).run();
            if let Some(got) = verdict(got, &faults) {
                assert!(got.hits.len() <= *limit && got.hits.iter().all(|h| h.distance <= *distance));
            }
        }
        Call::Heal => docs.heal().unwrap(),
    }
}

#[test]
fn every_call_is_answered_or_refused_with_the_reason() {
    let case = vec((0..4usize, call()), 1..40);
    let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
    let seed = std::env::var("NEARFIELD_SEED").ok().and_then(|s| s.parse().ok());
    let seed: u64 =
        seed.unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().map_or(0, |t| t.as_nanos() as u64));
    println!("NEARFIELD_SEED={seed}");
    let bytes: Vec<u8> = (0..4u64).flat_map(|n| (seed ^ n << 60).to_le_bytes()).collect();
    let rng = proptest::test_runner::TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &bytes);
    let outcome = TestRunner::new_with_rng(config, rng).run(&case, |calls| {
        let store = Store::memory();
        let docs =
            [(3, Metric::Cosine), (1, Metric::L2), (5, Metric::Dot), (3, Metric::L2)].map(|(dim, metric)| {
                store.create_collection(&format!("{metric}-{dim}"), Schema::new(dim, metric).m(4)).unwrap()
            });
        for (at, call) in &calls {
            make(&docs[*at], call);
        }
        for docs in &docs {
            prop_assert_eq!(docs.count(None).unwrap(), docs.stats().rows);
        }
        // It looks at every list of a block, so one collection has to do.
        let docs = &docs[calls.len() % 4];
        docs.heal().unwrap();
        prop_assert_eq!(docs.check(), Ok(0));
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

/// What a refusal says, word for word: people and scripts read it.
#[test]
fn refusals_name_the_value_and_the_limit() {
    let store = Store::memory();
    let docs = store.create_collection("docs", Schema::new(3, Metric::Cosine)).unwrap();
    let query = [1.0, 2.0, 3.0];
    let search = || docs.search(&query);
    let message = |got: Result<nearfield::Response, Error>| got.unwrap_err().to_string();
    let created =
        |name: &str, schema: Schema| store.create_collection(name, schema).err().unwrap().to_string();
    let small = || Schema::new(2, Metric::L2);
    let rejected = |chunk: Chunk| docs.upsert([chunk]).unwrap().results.remove(0).rejected.unwrap();
    for (got, wanted) in [
        (message(search().k(0).run()), "k is 0; it must be 1 to 10000"),
        (message(search().k(10_001).run()), "k is 10001; it must be 1 to 10000"),
        (message(search().ef(0).run()), "ef is 0; it must be 1 to 4096"),
        (message(search().ef(5_000).run()), "ef is 5000; it must be 1 to 4096"),
        (message(search().mmr(1.5).run()), "mmr lambda is 1.5; it must be 0 to 1"),
        (message(search().mmr(f32::NAN).run()), "mmr lambda is NaN; it must be 0 to 1"),
        (message(search().max_distance(f32::NAN).run()), "max_distance is NaN; it must be a number"),
        (message(search().min_score(f32::NAN).run()), "min_score is NaN; it must be a number"),
        (message(docs.range(&query, 1.0).limit(0).run()), "limit is 0; it must be 1 to 10000"),
        (message(docs.range(&query, f32::NAN).run()), "max_distance is NaN; it must be a number"),
        (
            message(docs.search(&[1.0]).run()),
            "the query has 1 dimensions, collection \"docs\" has 3; embed it with the collection's model",
        ),
        (
            message(docs.search(&[1.0, f32::NAN, 0.0]).run()),
            "the query has NaN at position 1; all values must be finite",
        ),
        (
            message(docs.search(&[0.0; 3]).run()),
            "the query's squared length is 0e0; cosine needs at least 1e-30: a zero vector has no direction",
        ),
        (
            message(search().filter(Filter::any([])).run()),
            "filter: $or is empty; give at least one alternative",
        ),
        (created("docs", small()), "collection \"docs\" exists; open it, drop it, or use another name"),
        (
            created("wide", Schema::new(16_001, Metric::L2)),
            "dim is 16001; it must be 1 to 16000: shorten the vectors",
        ),
        (
            created("flat", Schema::new(2, Metric::L1).graph(nearfield::GraphKind::Flat)),
            "graph flat does not serve metric l1; use graph hnsw_rs",
        ),
        (
            store.open_collection("none").err().unwrap().to_string(),
            "there is no collection \"none\"; create it first",
        ),
        (rejected(Chunk::new("")), "id is empty; give 1 to 512 bytes"),
        (rejected(Chunk::new("a")), "neither a vector nor a text; give at least one"),
        (rejected(Chunk::new("a").vector([1.0])), "vector has 1 dimensions; the collection has 3"),
        (
            rejected(Chunk::new("a").vector([0.0, f32::INFINITY, 0.0])),
            "vector[1] is inf; every element must be finite",
        ),
        (
            rejected(Chunk::new("a").vector([0.0; 3])),
            "vector is all zeros and has no direction, which cosine needs: leave such chunks out",
        ),
    ] {
        assert_eq!(got, wanted);
    }
}

#[test]
fn names_of_collections_are_checked() {
    let store = Store::memory();
    let schema = || Schema::new(2, Metric::L2);
    let long = "n".repeat(129);
    for name in
        ["", ".", ".hidden", "a/b", "a b", "a\0", "caf\u{e9}", "..", "a\\b", &long, &"x".repeat(1 << 20)]
    {
        let error = store.create_collection(name, schema()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{name:.20}");
        assert!(
            error.message().contains("is not 1 to 128 letters") && error.message().len() < 300,
            "{error}"
        );
        assert_eq!(store.get_or_create(name, schema()).err().unwrap().kind(), ErrorKind::Invalid);
        for missing in [store.open_collection(name).err(), store.drop_collection(name).err()] {
            let missing = missing.unwrap();
            assert_eq!(missing.kind(), ErrorKind::NotFound);
            assert!(missing.message().len() < 300, "a message of {} bytes", missing.message().len());
        }
    }
    for name in ["a", "A-b_c.9", "-", "_", &"n".repeat(128)] {
        store.create_collection(name, schema()).unwrap();
    }
}
