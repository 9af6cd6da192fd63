//! Edits by hand, stamps, deletions that may go, collections, looking.

use super::*;
use crate::record::Head;

async fn head<R: Rig>(site: &Site<'_, R>, id: &str) -> Option<Head> {
    let mut reading = site.read().await;
    let heads = reading.heads(DOCS, &range(Some(id), None), 1).await.unwrap();
    reading.finish().await.unwrap();
    heads.into_iter().find(|head| &*head.id == id)
}

pub(crate) async fn an_edit_by_hand_is_newer_and_has_no_digest<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    assert!(site.remote().look(NODE).await.unwrap().is_supervised);
    let now = site.remote().look(NODE).await.unwrap().unix_ms << 16;
    for ver in [5, i64::MAX - 100] {
        let id = format!("v{ver}");
        site.push(&[site.edition(ver, Chunk::new(&*id).vector([1.0, 2.0]).text("ours"))]).await;
        rig.edit(DOCS, &id, Some("theirs")).await;
        let head = head(&site, &id).await.unwrap();
        assert!(head.ver.0 > ver && head.ver.0 >= now, "{head:?}");
        assert!(head.digest.is_none() && head.node != NODE.0 && head.node != 0, "{head:?}");
        let print = {
            let mut reading = site.read().await;
            let print =
                reading.fingerprints(DOCS, &[range(Some(&id), Some(&format!("{id}!")))], &[]).await.unwrap();
            reading.finish().await.unwrap();
            print[0]
        };
        assert_eq!(print, Fingerprint { rows: 1, xor: head.ver.0 as u64, sum: 0 }, "it counts with digest 0");
        let row = site.row(&id).await.unwrap();
        assert_eq!(
            row.row.as_ref().and_then(|r| r.payload.as_ref()).and_then(|p| p.text.as_deref()),
            Some("theirs")
        );
        // Reading it makes the digest that was missing.
        assert_eq!(Some(row.stamp.digest), row.row.as_ref().map(|row| record::digest(row, site.seed)));
    }
    rig.edit(DOCS, "new", Some("theirs")).await;
    assert!(head(&site, "new").await.is_some_and(|head| head.digest.is_none() && head.ver.0 >= now));
}

pub(crate) async fn a_stamp_holds_for_the_version_that_was_looked_at<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    rig.edit(DOCS, "a", Some("first")).await;
    let seen = site.row("a").await.unwrap().head();
    assert!(seen.digest.is_some());
    rig.edit(DOCS, "a", Some("second")).await;
    site.remote().stamp(DOCS, std::slice::from_ref(&seen)).await.unwrap();
    assert_eq!(head(&site, "a").await.unwrap().digest, None, "that version is gone");
    let seen = site.row("a").await.unwrap().head();
    site.remote().stamp(DOCS, &[seen.clone(), Head { id: "gone".into(), ..seen.clone() }]).await.unwrap();
    assert_eq!(head(&site, "a").await, Some(seen.clone()));
    let other = Head { digest: Some(1), ..seen.clone() };
    site.remote().stamp(DOCS, &[other]).await.unwrap();
    assert_eq!(head(&site, "a").await, Some(seen), "a digest that is there stays");
}

pub(crate) async fn a_stamp_passes_over_what_somebody_holds<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    rig.edit(DOCS, "held", Some("x")).await;
    rig.edit(DOCS, "free", Some("x")).await;
    let seen: Vec<Head> = site.rows(&["free", "held"]).await.iter().map(Edition::head).collect();
    assert_eq!(seen.len(), 2);
    let find = |id: &str| seen.iter().find(|head| &*head.id == id).unwrap().clone();
    let open = rig.open(DOCS, "held", Some("theirs")).await;
    assert_eq!(site.remote().stamp(DOCS, &seen).await.unwrap(), [find("held")]);
    assert_eq!(head(&site, "free").await, Some(find("free")));
    drop(open);
    // The server takes a moment to roll back.
    while !site.remote().stamp(DOCS, &seen).await.unwrap().is_empty() {}
    assert_eq!(head(&site, "held").await, Some(find("held")));
}

pub(crate) async fn who_holds_rows_is_told_at_once<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    let ids = ["free", "held", "never there"].map(ChunkId::from);
    rig.edit(DOCS, "held", Some("x")).await;
    rig.edit(DOCS, "free", Some("x")).await;
    let held = async || site.remote().held(DOCS, &ids).await.unwrap();
    assert!(held().await.is_empty());
    let open = rig.open(DOCS, "held", Some("theirs")).await;
    assert_eq!(held().await, ["held"]);
    assert_eq!(
        site.push(&[site.text("free", i64::MAX >> 2, "ours")]).await,
        [Pushed::Stored],
        "and nothing stays held"
    );
    rig.commit(open).await;
    assert!(held().await.is_empty());
}

pub(crate) async fn a_deletion_by_hand_is_a_deletion<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    site.push(&[site.text("a", 5, "x")]).await;
    rig.edit(DOCS, "a", None).await;
    let gone = site.row("a").await.unwrap();
    assert!(gone.row.is_none() && gone.stamp.ver.0 > 5 && gone.stamp.digest == 0, "{gone:?}");
    rig.edit(DOCS, "a", None).await;
    rig.edit(DOCS, "never there", None).await;
    assert_eq!(site.row("a").await, Some(gone), "what is deleted cannot be deleted again");
    assert_eq!(site.row("never there").await, None);
    rig.edit(DOCS, "a", Some("again")).await;
    assert_eq!(site.scan().await.len(), 1);
}

pub(crate) async fn deletions_stay_until_every_node_has_seen_them<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    let other = NodeId(NODE.0 + 1);
    site.remote().look(other).await.unwrap();
    site.push(&[deletion("a", 10), deletion("b", 20), site.text("c", 5, "x")]).await;
    let reading = site.read().await;
    let snapshot = reading.snapshot().clone();
    reading.finish().await.unwrap();
    assert_eq!(site.remote().collect(Ver(100)).await.unwrap(), 0, "nobody has said what it has seen");
    site.remote().seen(NODE, &snapshot).await.unwrap();
    assert_eq!(site.remote().collect(Ver(100)).await.unwrap(), 0, "one node has not");
    assert_eq!(site.remote().look(NODE).await.unwrap().tombstone_floor, 0);
    site.remote().seen(other, &snapshot).await.unwrap();
    site.push(&[deletion("d", 30)]).await;
    assert_eq!(site.remote().collect(Ver(15)).await.unwrap(), 1);
    assert_eq!((site.row("a").await, site.remote().look(NODE).await.unwrap().tombstone_floor), (None, 11));
    assert_eq!(site.remote().collect(Ver(100)).await.unwrap(), 1, "d came after what they have seen");
    assert!(site.row("d").await.is_some() && site.row("c").await.is_some() && site.row("b").await.is_none());
    assert_eq!(site.remote().look(NODE).await.unwrap().tombstone_floor, 21);
}

pub(crate) async fn a_collection_without_rows_can_be_undeclared<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    site.push(&[site.text("a", 5, "x")]).await;
    let known = async || site.remote().collections().await.unwrap().len();
    assert!(!site.remote().undeclare(DOCS).await.unwrap());
    assert_eq!(known().await, 1, "it has a row");
    site.push(&[deletion("a", 6)]).await;
    assert!(site.remote().undeclare(DOCS).await.unwrap());
    assert_eq!(known().await, 0);
    assert!(site.remote().undeclare("never there").await.unwrap());
    let again = RemoteCollection { name: DOCS.to_owned(), schema: site.schema.clone() };
    site.remote().declare(&again).await.unwrap();
    assert_eq!(site.row("a").await, Some(deletion("a", 6)), "the deletion is remembered all the same");
}

pub(crate) async fn a_collection_is_declared_once<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    let with = |name: &str, schema: Schema| RemoteCollection { name: name.to_owned(), schema };
    let other = with(
        "o'ther \u{e9}",
        Schema::new(3, Metric::Cosine).m(24).tenant_required(true).embedding(EmbeddingProfile::new("a", "m")),
    );
    site.remote().declare(&other).await.unwrap();
    site.remote().declare(&other).await.unwrap();
    let tuned = with(DOCS, Schema::new(2, Metric::L2).m(8).ef_construction(50));
    site.remote().declare(&tuned).await.unwrap();
    for wrong in [Schema::new(3, Metric::L2), Schema::new(2, Metric::Cosine)] {
        let fault = site.remote().declare(&with(DOCS, wrong)).await.unwrap_err();
        assert_eq!(fault.class, FaultClass::Schema, "{fault:?}");
        assert!(fault.message.contains(DOCS) && fault.remedy.is_some(), "{fault:?}");
    }
    let all = site.remote().collections().await.unwrap();
    assert_eq!(all, [with(DOCS, site.schema.clone()), other], "who came first has said what it is");
}

pub(crate) async fn looking_again_finds_the_same<R: Rig>(rig: &R) {
    let first = rig.remote().look(NODE).await.unwrap();
    rig.remote().hang_up();
    let second = rig.remote().look(NODE).await.unwrap();
    assert_eq!(first.identity, second.identity);
    assert_eq!(first.digest_seed, second.digest_seed);
    assert!(!first.is_standby && !first.is_read_only && first.unix_ms <= second.unix_ms);
    assert!(!first.identity.epoch.is_empty() && first.tombstone_floor == 0 && first.mark.is_none());
}
