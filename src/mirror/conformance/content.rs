//! What comes back is what went in, and has the digest that it had (M14).

use super::*;
use crate::record::Map;
use serde_json::{Value, json};

/// Stores them by few and by many at once, and reads them both ways.
async fn round_trip<R: Rig>(site: &Site<'_, R>, chunks: &[Chunk]) {
    let mut editions: Vec<Edition> = chunks.iter().map(|chunk| site.edition(10, chunk.clone())).collect();
    editions.sort_by(|a, b| a.id.cmp(&b.id));
    for ver in [10, 11] {
        for edition in &mut editions {
            edition.stamp.ver = Ver(ver);
        }
        if ver == 10 {
            for few in editions.chunks(7) {
                site.push(few).await;
            }
        } else {
            // Enough rows that an implementation takes the way of many.
            let filler = (0..1_000).map(|n| deletion(&format!("filler {n:04}"), 1));
            site.push(&editions.iter().cloned().chain(filler).collect::<Vec<_>>()).await;
        }
        let scanned = site.scan().await;
        assert_eq!(scanned.len(), editions.len());
        let ids: Vec<&str> = editions.iter().map(|e| e.id.as_str()).collect();
        for (found, wanted) in scanned.iter().chain(&site.rows(&ids).await).zip(editions.iter().cycle()) {
            assert_eq!(found, wanted);
            let row = found.row.as_ref().unwrap();
            assert_eq!(record::digest(row, site.seed), wanted.stamp.digest, "{row:?}");
        }
    }
}

pub(crate) async fn every_id_keeps_its_bytes_and_its_place<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    let ids = hostile_ids();
    let chunks: Vec<Chunk> =
        ids.iter().map(|id| Chunk::new(id).text("x").tenant(id).document(id, 1)).collect();
    round_trip(&site, &chunks).await;
    let mut reading = site.read().await;
    let heads = reading.heads(DOCS, &IdRange::default(), usize::MAX >> 1).await.unwrap();
    assert_eq!(heads.iter().map(|h| h.id.as_str()).collect::<Vec<_>>(), ids, "in the order of bytes");
    for (at, id) in ids.iter().enumerate() {
        let from = reading.heads(DOCS, &range(Some(id), None), 1).await.unwrap();
        assert_eq!(from.first().map(|h| h.id.as_str()), Some(id.as_str()));
        let until = reading.fingerprints(DOCS, &[range(None, Some(id))], &[]).await.unwrap();
        assert_eq!(until[0].rows, at as u64, "rows before {id:?}");
    }
}

pub(crate) async fn every_content_comes_back_with_its_digest<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    let controls: String = (1..=0x2ff).filter_map(char::from_u32).collect();
    let deep = (0..30).fold(json!(1), |inner, _| json!({ "a": [inner] }));
    let deep = deep.pointer(&"/a/0".repeat(15)).cloned().unwrap_or_default();
    let values: Vec<Value> = vec![
        json!({}),
        json!({ "": "" }),
        json!({ "a": -0.0, "b": 0, "c": 1.0, "d": 1e300, "e": 1e-300, "f": 5e-324, "g": f64::MAX, "h": 0.1 }),
        json!({ "a": i64::MIN, "b": u64::MAX, "c": 9_007_199_254_740_993_u64, "d": 1e22, "e": 1.5e-7, "f": 123456789.125 }),
        json!({ "b": 1, "a": 2, "aa": 3, "B": 4, "\u{e9}": 5, "\u{10ffff}": 6, "a\"b": 7, "\\": 8, "\n": 9 }),
        json!({ "s": controls, "t": [null, true, false, [], {}, [[]], { "x": null }] }),
        json!({ "deep": deep }),
        json!({ "long": "x".repeat(60_000) }),
        serde_json::from_str(r#"{"twice":1,"twice":2}"#).unwrap(),
    ];
    let with = |n: usize, value: &Value| {
        let Value::Object(map) = value.clone() else { unreachable!("objects only") };
        Chunk::new(format!("m{n:02}")).text("x").metadata(map)
    };
    let mut chunks: Vec<Chunk> = values.iter().enumerate().map(|(n, value)| with(n, value)).collect();
    chunks.push(Chunk::new("controls").text(&*controls).tenant(&controls[..199]).embedding_model("\\N"));
    chunks.push(Chunk::new("empty text").text("").vector([1.0, 2.0]));
    chunks.push(Chunk::new("no text").vector([-0.0, 0.0]));
    chunks.push(
        Chunk::new("all")
            .vector([0.5, -3.25])
            .text("t")
            .document("d", 2_147_483_647)
            .tenant("t")
            .metadata(Map::new()),
    );
    chunks.push(Chunk::new("copy").text("\\.").document("\\N", 0).embedding_model("\"{NULL}\""));
    round_trip(&site, &chunks).await;
}

pub(crate) async fn vectors_keep_their_bits_at_all_widths<R: Rig>(rig: &R) {
    for (n, dim) in [1_usize, 3, 16_000].into_iter().enumerate() {
        let name = format!("wide{n}");
        let schema = Schema::new(dim, Metric::L2);
        let mut site = Site::small(rig).await;
        rig.remote().declare(&RemoteCollection { name: name.clone(), schema: schema.clone() }).await.unwrap();
        site.schema = schema;
        let tricky = [f32::MIN_POSITIVE, 1e-45, -0.0, 0.1, -1.0 / 3.0, 1e10, 16_777_217.0, f32::EPSILON];
        let chunk = |id: usize| {
            Chunk::new(format!("v{id}")).vector((0..dim).map(|at| tricky[(at + id) % 8]).collect::<Vec<_>>())
        };
        let editions: Vec<Edition> = (0..8).map(|id| site.edition(1, chunk(id))).collect();
        rig.remote().push(&name, &editions, site.mark()).await.unwrap();
        let mut reading = site.read().await;
        let ids: Vec<ChunkId> = editions.iter().map(|e| e.id.clone()).collect();
        let mut rows = reading.rows(&name, &ids).await.unwrap();
        rows.sort_by(|a, b| a.id.cmp(&b.id));
        let bits = |e: &Edition| {
            let vector = e.row.as_ref().and_then(|row| row.vector.clone()).unwrap_or_default();
            vector.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        assert_eq!(rows.iter().map(bits).collect::<Vec<_>>(), editions.iter().map(bits).collect::<Vec<_>>());
        reading.finish().await.unwrap();
    }
}

pub(crate) async fn large_rows_come_back<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    let mut dice = Dice(11);
    let noise: String = (0..3 << 20).map(|_| char::from(b' ' + dice.below(90) as u8)).collect();
    let chunks =
        [Chunk::new("noise").text(noise).vector([1.0, 1.0]), Chunk::new("same").text("y".repeat(16 << 20))];
    let editions: Vec<Edition> = chunks.into_iter().map(|chunk| site.edition(1, chunk)).collect();
    site.push(&editions).await;
    assert!(site.scan().await == editions, "megabytes are not worth printing");
}
