//! Comparing: fingerprints, splits, heads, scans against a model.

use super::*;

/// Rows with awkward ids, some of them deleted, and the model of them.
async fn library<R: Rig>(site: &Site<'_, R>) -> Model {
    let (mut model, mut dice) = (Model::default(), Dice(5));
    let mut ids = hostile_ids();
    ids.extend((0..700).map(|n| format!("k{n:04}")));
    ids.sort();
    let batch: Vec<Edition> = ids
        .iter()
        .map(|id| match dice.below(6) {
            0 => deletion(id, 3),
            _ => site.text(id, 1 + dice.below(1 << 40) as i64, &format!("text {}", dice.below(1 << 30))),
        })
        .collect();
    assert_eq!(site.push(&batch).await, model.apply(&batch));
    model
}

pub(crate) async fn fingerprints_are_those_of_the_model<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    let model = library(&site).await;
    let ids: Vec<ChunkId> = model.0.keys().cloned().collect();
    let mut dice = Dice(17);
    let mut reading = site.read().await;
    for _ in 0..12 {
        let pick = |dice: &mut Dice| match dice.below(5) {
            0 => None,
            1 => Some(format!("k{}", dice.below(99))),
            _ => Some(ids[dice.below(ids.len() as u64) as usize].to_string()),
        };
        let ranges: Vec<IdRange> = (0..1 + dice.below(20))
            .map(|_| IdRange { from: pick(&mut dice), until: pick(&mut dice) })
            .collect();
        let mut without: Vec<ChunkId> =
            (0..dice.below(40)).map(|_| ids[dice.below(ids.len() as u64) as usize].clone()).collect();
        without.sort();
        without.dedup();
        without.push("not there".into());
        let prints = reading.fingerprints(DOCS, &ranges, &without).await.unwrap();
        let wanted: Vec<Fingerprint> = ranges.iter().map(|r| model.fingerprint(r, &without)).collect();
        assert_eq!(prints, wanted, "{ranges:?} without {without:?}");
    }
    assert_eq!(reading.fingerprints(DOCS, &[], &[]).await.unwrap(), []);
    let other = reading.fingerprints("other", &[IdRange::default()], &[]).await.unwrap();
    assert_eq!(other, [Fingerprint::default()], "another collection has none of these rows");
    reading.finish().await.unwrap();
}

pub(crate) async fn splits_are_even_and_cover_everything<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    let mut reading = site.read().await;
    assert_eq!(
        reading.split(DOCS, 16).await.unwrap(),
        [IdRange::default()],
        "nothing is one range of nothing"
    );
    reading.finish().await.unwrap();
    let model = library(&site).await;
    let rows = model.live().count() as u64;
    let mut reading = site.read().await;
    for parts in [1, 2, 3, 16, 64, 1_000_000] {
        let ranges = reading.split(DOCS, parts).await.unwrap();
        assert!(!ranges.is_empty() && ranges.len() <= parts, "{} of {parts}", ranges.len());
        assert!(ranges[0].from.is_none() && ranges.last().is_some_and(|last| last.until.is_none()));
        assert!(ranges.windows(2).all(|w| w[0].until.is_some() && w[0].until == w[1].from));
        let most = rows.div_ceil(parts as u64).max(1);
        let counts: Vec<u64> = ranges.iter().map(|range| model.fingerprint(range, &[]).rows).collect();
        assert!(counts.iter().all(|&n| n > 0 && n <= most), "{parts} parts: {counts:?}");
    }
    reading.finish().await.unwrap();
}

pub(crate) async fn heads_come_by_id_and_end_at_the_limit<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    let model = library(&site).await;
    let mut reading = site.read().await;
    for (range, limit) in [
        (IdRange::default(), 10_000),
        (range(Some("k0100"), Some("k0200")), 10_000),
        (range(Some("k0100"), None), 7),
    ] {
        let wanted: Vec<_> =
            model.live().filter(|e| is_inside(&range, &e.id)).take(limit).map(Edition::head).collect();
        assert_eq!(reading.heads(DOCS, &range, limit).await.unwrap(), wanted);
    }
    assert_eq!(reading.heads(DOCS, &range(Some("k5"), Some("k4")), 9).await.unwrap(), [], "an empty range");
    reading.finish().await.unwrap();
}

pub(crate) async fn scans_bring_the_rows_of_a_range<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    let model = library(&site).await;
    let mut reading = site.read().await;
    let cuts: Vec<String> = hostile_ids();
    let mut ranges =
        vec![IdRange::default(), range(Some("k0100"), Some("k0200")), range(Some("b"), Some("a"))];
    ranges.extend(cuts.windows(2).map(|w| range(Some(&w[0]), Some(&w[1]))));
    for range in ranges {
        let mut found = Vec::new();
        let mut each = |piece: Vec<Edition>| {
            found.extend(piece);
            true
        };
        reading.scan(DOCS, &range, &mut each).await.unwrap();
        let wanted: Vec<Edition> = model.live().filter(|e| is_inside(&range, &e.id)).cloned().collect();
        assert!(found == wanted, "{} rows in {range:?}, not {}", found.len(), wanted.len());
    }
    reading.finish().await.unwrap();
}

pub(crate) async fn a_scan_can_be_ended_early<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    let text = "x".repeat(10_000);
    let batch: Vec<Edition> = (0..1_000).map(|n| site.text(&format!("{n:04}"), 1, &text)).collect();
    site.push(&batch).await;
    let mut reading = site.read().await;
    let mut found = Vec::new();
    let mut each = |piece: Vec<Edition>| {
        found.extend(piece);
        false
    };
    reading.scan(DOCS, &IdRange::default(), &mut each).await.unwrap();
    reading.finish().await.unwrap();
    assert!(!found.is_empty() && found.len() < batch.len(), "{} rows in the first piece", found.len());
    assert!(found == batch[..found.len()]);
    assert_eq!(site.row("0999").await.as_ref(), batch.last());
}
