//! Neighbours: those of a model that compares all rows, whatever the metric.

use super::*;
use crate::codes::Exact;
use crate::engine::tap::Neighbour;
use crate::filter::Needle;
use serde_json::{Value, json};

const METRICS: [Metric; 4] = [Metric::Cosine, Metric::L2, Metric::Dot, Metric::L1];

fn near<'a>(query: &'a [f32], tenant: Option<&'a str>, needles: &'a [Vec<Needle>]) -> Near<'a> {
    Near { query, tenant, wants_metadata: true, needles, ms_max: 30_000 }
}

impl<R: Rig> Site<'_, R> {
    async fn nearest(&self, near: &Near<'_>, limit: usize) -> Vec<Neighbour> {
        let mut reading = self.read().await;
        let found = reading.nearest(DOCS, near, limit).await.unwrap();
        reading.finish().await.unwrap();
        found
    }
}

fn ids(found: &[Neighbour]) -> Vec<&str> {
    found.iter().map(|one| one.head.id.as_str()).collect()
}

pub(crate) async fn neighbours_are_those_of_the_model_under_every_metric<R: Rig>(rig: &R) {
    let mut site = Site::small(rig).await;
    let mut dice = Dice(7);
    for metric in METRICS {
        let name = metric.to_string();
        site.schema = Schema::new(4, metric);
        let collection = RemoteCollection { name: name.clone(), schema: site.schema.clone() };
        rig.remote().declare(&collection).await.unwrap();
        let mut vector = || std::array::from_fn::<f32, 4, _>(|_| dice.below(2_001) as f32 / 1_000.0 - 1.0);
        let vectors: Vec<[f32; 4]> = (0..80).map(|_| vector()).collect();
        let query = vector();
        let editions: Vec<Edition> = vectors
            .iter()
            .enumerate()
            .map(|(at, vector)| site.edition(1, Chunk::new(format!("v{at:02}")).vector(*vector)))
            .collect();
        rig.remote().push(&name, &editions, site.mark()).await.unwrap();
        let exact = Exact::new(metric, &query);
        let mut model: Vec<(f32, String)> =
            vectors.iter().enumerate().map(|(at, v)| (exact.distance(v), format!("v{at:02}"))).collect();
        model.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut reading = site.read().await;
        for limit in [1, 10, 80, 1_000] {
            let found = reading.nearest(&name, &near(&query, None, &[]), limit).await.unwrap();
            assert_eq!(found.len(), limit.min(80), "{metric}");
            for (one, (distance, id)) in found.iter().zip(&model) {
                let is_close = (one.distance - f64::from(*distance)).abs() < 1e-5;
                assert!(is_close && one.head.id.as_str() == id, "{metric}: {one:?}, not {id} at {distance}");
            }
        }
        reading.finish().await.unwrap();
    }
}

pub(crate) async fn equal_neighbours_come_by_the_bytes_of_their_ids<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    let hostile = hostile_ids();
    let editions: Vec<Edition> =
        hostile.iter().map(|id| site.edition(1, Chunk::new(id).vector([1.0, 1.0]))).collect();
    site.push(&editions).await;
    assert_eq!(ids(&site.nearest(&near(&[0.0, 0.0], None, &[]), 1_000).await), hostile);
    let first = site.nearest(&near(&[0.0, 0.0], None, &[]), 5).await;
    assert_eq!(ids(&first), hostile[..5]);
}

pub(crate) async fn only_live_rows_with_a_vector_are_neighbours<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    let row = |id: &str, x: f32| site.edition(1, Chunk::new(id).vector([x, 0.0]).text("t"));
    site.push(&[row("a", 1.0), row("b", 2.0), row("c", 3.0), row("d", 4.0), site.text("words", 1, "t")])
        .await;
    site.push(&[deletion("a", 2)]).await;
    rig.edit(DOCS, "b", None).await;
    rig.edit(DOCS, "c", Some("edited")).await;
    let open = rig.open(DOCS, "d", None).await;
    let found = site.nearest(&near(&[0.0, 0.0], None, &[]), 10).await;
    assert_eq!(ids(&found), ["c", "d"]);
    assert_eq!((found[0].head.digest, found[0].distance), (None, 3.0), "nobody has looked at it");
    let before = site.row("d").await.unwrap();
    assert_eq!(found[1].head, before.head());
    rig.commit(open).await;
    assert_eq!(ids(&site.nearest(&near(&[0.0, 0.0], None, &[]), 10).await), ["c"]);
}

pub(crate) async fn neighbours_are_of_the_tenant_and_say_what_they_are<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    let row = |id: &str, x: f32, tenant: &str| {
        let row = Chunk::new(id).vector([x, 0.0]).tenant(tenant).document(format!("of {id}"), 1);
        site.edition(1, row.meta("n", 1.5).meta("s", "it's $1"))
    };
    let none = site.edition(1, Chunk::new("none").vector([0.0, 0.0]));
    site.push(&[row("a", 1.0, "acme"), row("b", 2.0, "o'b"), row("c", 3.0, "acme"), none]).await;
    let found = site.nearest(&near(&[0.0, 0.0], Some("acme"), &[]), 10).await;
    assert_eq!(ids(&found), ["a", "c"]);
    assert_eq!(found[0].document.as_deref(), Some("of a"));
    assert_eq!(Value::Object(found[0].metadata.clone()), json!({"n": 1.5, "s": "it's $1"}));
    assert_eq!(ids(&site.nearest(&near(&[0.0, 0.0], Some("o'b"), &[]), 10).await), ["b"]);
    assert_eq!(ids(&site.nearest(&near(&[0.0, 0.0], Some("' OR true --"), &[]), 10).await), [""; 0]);
    let quick = Near { wants_metadata: false, ..near(&[0.0, 0.0], None, &[]) };
    let found = site.nearest(&quick, 10).await;
    assert_eq!(ids(&found), ["none", "a", "b", "c"]);
    assert!(found.iter().all(|one| one.metadata.is_empty()));
}

pub(crate) async fn rows_without_a_value_of_each_list_are_left_out<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    let metadata = [
        json!({"lang": "en"}),
        json!({"lang": ["de", ["en"]]}),
        json!({"deep": [{"er": {"lang": "en"}}], "ok": true}),
        json!({"lang": "de", "en": 1}),
        json!({"lang": "it's \" \\ $.x", "gone": null}),
        json!({}),
        json!({"deep": [[{"n": 7}], "7"]}),
        json!({"n": -1e300, "m": [0.5]}),
    ];
    let rows = metadata.into_iter().enumerate().map(|(at, value)| {
        let Value::Object(map) = value else { unreachable!("objects only") };
        site.edition(1, Chunk::new(at.to_string()).vector([at as f32, 0.0]).metadata(map))
    });
    site.push(&rows.collect::<Vec<_>>()).await;
    let number = |from, to| vec![Needle::Number { from, to }];
    for (needles, expected) in [
        (vec![number(7.0, 7.0)], vec!["6"]),
        (vec![number(0.4, 7.5)], vec!["3", "6", "7"]),
        (vec![number(f64::MIN, -1.0), number(0.0, f64::MAX)], vec!["7"]),
        (vec![vec![Needle::Number { from: 6.0, to: 8.0 }, Needle::Value(json!(true))]], vec!["2", "6"]),
    ] {
        let found = site.nearest(&near(&[0.0, 0.0], None, &needles), 10).await;
        assert_eq!(ids(&found), expected, "{needles:?}");
    }
    for (needles, expected) in [
        (vec![], vec!["0", "1", "2", "3", "4", "5", "6", "7"]),
        (vec![vec![json!("en")]], vec!["0", "1", "2"]),
        (vec![vec![json!("en")], vec![json!(true)]], vec!["2"]),
        (vec![vec![json!("de"), json!(null)]], vec!["1", "3", "4"]),
        (vec![vec![json!("it's \" \\ $.x")]], vec!["4"]),
        (vec![vec![json!("with\0"), json!(true)]], vec!["2"]),
        (vec![vec![]], vec![]),
    ] {
        let needles: Vec<Vec<Needle>> = needles
            .into_iter()
            .map(|list: Vec<Value>| list.into_iter().map(Needle::Value).collect())
            .collect();
        let found = site.nearest(&near(&[0.0, 0.0], None, &needles), 10).await;
        assert_eq!(ids(&found), expected, "{needles:?}");
    }
}

pub(crate) async fn nobody_has_neighbours_in_an_unknown_collection<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    let mut reading = site.read().await;
    let fault = reading.nearest("nothing", &near(&[0.0, 0.0], None, &[]), 10).await.unwrap_err();
    assert_eq!(fault.class, FaultClass::Transient, "{fault:?}");
}
