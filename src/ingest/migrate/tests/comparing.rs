//! Goal: what a comparison says follows from exact neighbours, and from nothing else.

use super::*;

fn before() -> Hashed {
    Hashed::new(BEFORE).unwrap()
}

fn compared(store: &Store, options: &ComparisonOptions) -> Comparison {
    Migration::of(store, "docs").compare(Some(&before()), &Model::default(), options).unwrap()
}

#[test]
fn overlap_and_finds_are_those_of_a_brute_force_search() {
    let store = Store::memory();
    filled_with(&store, 120);
    fill(&Migration::of(&store, "docs"), &Model::default()).unwrap();
    let texts: Vec<String> = (0..20).map(|n| format!("thing {n} and the text of row {}", n * 3)).collect();
    let options = ComparisonOptions { queries: Queries::Texts(texts.clone()), k: 7, tenant: None };
    let said = compared(&store, &options);
    let nearest = |name: &str, dim: usize, text: &str| {
        let query = vector(dim, text);
        let near = |chunk: Chunk| {
            let dot: f32 = chunk.vector.unwrap().iter().zip(&query).map(|(a, b)| a * b).sum();
            (dot, chunk.id)
        };
        let mut rows: Vec<_> = all(&store.open_collection(name).unwrap()).into_iter().map(near).collect();
        rows.sort_by(|a, b| b.0.total_cmp(&a.0));
        rows.into_iter().take(7).map(|(_, id)| id).collect::<std::collections::HashSet<_>>()
    };
    let share = |text: &String| {
        nearest("docs", BEFORE, text).intersection(&nearest("docs.next", AFTER, text)).count() as f64 / 7.0
    };
    let expected = texts.iter().map(share).sum::<f64>() / 20.0;
    // Rows that are equally near may stand on either side of the end.
    assert!((said.overlap - expected).abs() < 0.05, "{} {expected}", said.overlap);
    assert!(said.overlap > 0.2 && said.overlap < 0.999, "{}", said.overlap);
    assert_eq!((said.queries, said.before.found), (20, None), "texts are of no row");
    let rows = compared(&store, &ComparisonOptions::default());
    assert!(
        rows.queries >= 90 && rows.before.found.unwrap() > 0.5 && rows.after.found.unwrap() > 0.5,
        "{rows:?}"
    );
    assert!(rows.before.found_first <= rows.before.found, "{rows:?}");
    let again = compared(&store, &ComparisonOptions::default());
    assert_eq!(
        (rows.overlap, rows.after.found),
        (again.overlap, again.after.found),
        "the same seed, the same rows"
    );
}

#[test]
fn rows_stand_for_themselves_without_the_old_model() {
    let store = Store::memory();
    filled_with(&store, 60);
    let migration = Migration::of(&store, "docs");
    let model = Model::default();
    fill(&migration, &model).unwrap();
    let said = migration.compare(None, &model, &ComparisonOptions::default()).unwrap();
    assert_eq!((model.asked(), said.before.found, said.after.found), (60, None, None), "nothing is embedded");
    assert!(said.overlap > 0.2 && said.overlap < 1.0, "{said:?}");
    // Two sides of the same vectors agree wholly.
    store.drop_collection("docs.next").unwrap();
    let twin = store.create_collection("docs.next", schema()).unwrap();
    twin.upsert(all(&store.open_collection("docs").unwrap())).unwrap();
    let same = migration.compare(None, &before(), &ComparisonOptions::default()).unwrap();
    assert_eq!(same.overlap, 1.0);
}

#[test]
fn a_collection_that_requires_tenants_is_asked_for_them() {
    let store = Store::memory();
    let docs = store.create_collection("docs", schema().tenant_required(true)).unwrap();
    for id in 0..40 {
        let tenant = format!("t{}", id % 2);
        docs.tenant(&tenant).upsert([Chunk { tenant: None, ..row(id) }]).unwrap();
    }
    let (migration, model) = (Migration::of(&store, "docs"), Model::default());
    fill(&migration, &model).unwrap();
    assert_eq!(compared(&store, &ComparisonOptions::default()).k, 10);
    let texts =
        ComparisonOptions { queries: Queries::Texts(vec!["row".into()]), tenant: Some("t1".into()), k: 3 };
    assert_eq!(compared(&store, &texts).queries, 1);
    assert_eq!(switch(&migration, &model).unwrap().status.filled, 40);
    assert_eq!(store.open_collection("docs").unwrap().tenant("t1").count(None).unwrap(), 20);
}

#[test]
fn what_cannot_be_compared_is_said() {
    let store = Store::memory();
    filled_with(&store, 10);
    let (migration, model) = (Migration::of(&store, "docs"), Model::default());
    let rows = |rows, k| ComparisonOptions { queries: Queries::Rows { rows, seed: 1 }, k, tenant: None };
    let kind = |before: Option<&dyn Embedder>, options: &ComparisonOptions| {
        migration.compare(before, &model, options).unwrap_err().kind()
    };
    assert_eq!(kind(None, &rows(5, 3)), ErrorKind::NotFound);
    fill(&migration, &model).unwrap();
    assert_eq!(kind(None, &rows(0, 3)), ErrorKind::Invalid);
    assert_eq!(kind(None, &rows(5, 0)), ErrorKind::Invalid);
    assert_eq!(kind(Some(&model), &rows(5, 3)), ErrorKind::Conflict, "it is not the old one's");
    let texts = ComparisonOptions { queries: Queries::Texts(vec!["a".into()]), ..rows(1, 1) };
    assert_eq!(kind(None, &texts), ErrorKind::Invalid);
}
