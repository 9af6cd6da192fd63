//! The feed: every committed change, once, whatever else is under way.

use super::*;
use crate::record::Head;
use std::collections::BTreeMap;

/// Reads a feed as the mirror does: a window between two snapshots, page by page, each in a reading of its own.
struct Follower {
    since: Snapshot,
    window: Option<(Snapshot, Option<ChangeKey>)>,
    heads: BTreeMap<ChunkId, Head>,
    delivered: usize,
}

impl Follower {
    async fn new<R: Rig>(site: &Site<'_, R>) -> Self {
        let reading = site.read().await;
        let since = reading.snapshot().clone();
        reading.finish().await.unwrap();
        Self { since, window: None, heads: BTreeMap::new(), delivered: 0 }
    }

    /// One page; false when the window is at its end.
    async fn page<R: Rig>(&mut self, site: &Site<'_, R>, limit: usize) -> bool {
        let mut reading = site.read().await;
        let (until, after) = self.window.take().unwrap_or_else(|| (reading.snapshot().clone(), None));
        let page = reading.changes(&self.since, &until, after.as_ref(), limit).await.unwrap();
        reading.finish().await.unwrap();
        assert!(page.len() <= limit);
        assert!(page.is_sorted_by(|a, b| a.key < b.key), "{page:?}");
        assert!(after.zip(page.first()).is_none_or(|(after, first)| after < first.key));
        self.delivered += page.len();
        let last = page.last().map(|change| change.key.clone());
        let is_last = page.len() < limit;
        for Change { head, key } in page {
            assert_eq!((key.collection.as_str(), key.id.as_str()), (DOCS, head.id.as_str()));
            let is_newer = self.heads.get(&head.id).is_none_or(|there| there.ver <= head.ver);
            if is_newer {
                self.heads.insert(head.id.clone(), head);
            }
        }
        if is_last {
            self.since = until;
        } else {
            self.window = Some((until, last));
        }
        !is_last
    }

    async fn drain<R: Rig>(&mut self, site: &Site<'_, R>) -> Vec<String> {
        let before: Vec<Head> = self.heads.values().cloned().collect();
        while self.page(site, 100).await {}
        self.heads.values().filter(|head| !before.contains(head)).map(|head| head.id.to_string()).collect()
    }
}

pub(crate) async fn changes_come_once_in_pages<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    let mut follower = Follower::new(&site).await;
    assert!(!follower.page(&site, 10).await && follower.delivered == 0);
    let rows: Vec<Edition> = (0..10).map(|n| site.text(&format!("r{n}"), 5, "x")).collect();
    site.push(&rows[..4]).await;
    site.push(&rows[4..]).await;
    site.push(&[deletion("r3", 6)]).await;
    while follower.page(&site, 3).await {}
    assert_eq!(follower.delivered, 10, "each row once, as it stands");
    let wanted: Vec<Head> =
        rows.iter().map(|e| if &*e.id == "r3" { deletion("r3", 6).head() } else { e.head() }).collect();
    assert_eq!(follower.heads.values().cloned().collect::<Vec<_>>(), wanted);
    site.push(&rows).await;
    assert!(follower.drain(&site).await.is_empty(), "what was superseded is no change");
    assert_eq!(follower.delivered, 10);
}

pub(crate) async fn an_open_transaction_delays_its_own_rows_only<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    let mut follower = Follower::new(&site).await;
    // M8, and the case that a counter for a cursor loses: the first to write is the last to commit.
    let open = rig.open(DOCS, "open", Some("x")).await;
    site.push(&[site.text("ours", 1, "x")]).await;
    assert_eq!(follower.drain(&site).await, ["ours"]);
    rig.edit(DOCS, "theirs", Some("x")).await;
    assert_eq!(follower.drain(&site).await, ["theirs"]);
    rig.commit(open).await;
    assert_eq!(follower.drain(&site).await, ["open"]);
    assert!(follower.drain(&site).await.is_empty());
    drop(rig.open(DOCS, "given up", Some("x")).await);
    site.push(&[site.text("later", 1, "x")]).await;
    assert_eq!(follower.drain(&site).await, ["later"]);
}

pub(crate) async fn no_change_is_lost_whatever_the_order_of_commits<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    let mut follower = Follower::new(&site).await;
    for seed in 1..=4 {
        shuffle(&site, &mut follower, seed).await;
        // Twice: the first time ends a window that began earlier.
        follower.drain(&site).await;
        follower.drain(&site).await;
        let mut reading = site.read().await;
        let ids: Vec<ChunkId> = follower.heads.keys().cloned().collect();
        for edition in reading.rows(DOCS, &ids).await.unwrap() {
            let head = &follower.heads[&edition.id];
            assert_eq!(
                (head.ver, head.is_deleted),
                (edition.stamp.ver, edition.row.is_none()),
                "seed {seed}"
            );
        }
        let live = reading.heads(DOCS, &IdRange::default(), 10_000).await.unwrap();
        reading.finish().await.unwrap();
        let lost: Vec<&Head> = live.iter().filter(|head| !follower.heads.contains_key(&head.id)).collect();
        assert!(lost.is_empty(), "seed {seed} lost {lost:?}");
    }
}

/// Transactions that end in another order than they began in, or not at all, and a feed that is read in between, and now and
/// then goes back to the cursor that it wrote down.
async fn shuffle<R: Rig>(site: &Site<'_, R>, follower: &mut Follower, seed: u64) {
    let mut dice = Dice(seed * 7_919);
    let mut cursor = (follower.since.clone(), None);
    // Each writer has ids of its own: nobody waits for a lock that only this thread could free.
    let mut writers: [Option<R::Open>; 4] = [const { None }; 4];
    for step in 0..120_u64 {
        let who = dice.below(4) as usize;
        let id = format!("{who} {}", dice.below(6));
        let text = (dice.below(4) > 0).then(|| format!("{seed} {step}"));
        match dice.below(10) {
            0..4 if writers[who].is_none() => {
                writers[who] = Some(site.rig.open(DOCS, &id, text.as_deref()).await);
            }
            0..5 => {
                if let Some(open) = writers[who].take() {
                    site.rig.commit(open).await;
                }
            }
            5 => writers[who] = None,
            6 => {
                let ver = (1_i64 << 60) + (seed * 1_000 + step) as i64;
                site.push(&[site.text(&format!("pushed {id}"), ver, "x")]).await;
            }
            7 => cursor = (follower.since.clone(), follower.window.clone()),
            8 => (follower.since, follower.window) = cursor.clone(),
            _ => _ = follower.page(site, 2).await,
        }
    }
    for open in writers.into_iter().flatten() {
        site.rig.commit(open).await;
    }
}

pub(crate) async fn a_reading_sees_one_snapshot<R: Rig>(rig: &R) {
    let site = Site::small(rig).await;
    site.push(&[site.text("a", 1, "old")]).await;
    let mut reading = site.read().await;
    let before = reading.fingerprints(DOCS, &[IdRange::default()], &[]).await.unwrap();
    site.push(&[site.text("a", 2, "new"), site.text("b", 2, "new")]).await;
    rig.edit(DOCS, "c", Some("x")).await;
    assert_eq!(reading.fingerprints(DOCS, &[IdRange::default()], &[]).await.unwrap(), before);
    assert_eq!(reading.rows(DOCS, &["a".into(), "b".into()]).await.unwrap(), [site.text("a", 1, "old")]);
    assert_eq!(reading.heads(DOCS, &IdRange::default(), 9).await.unwrap().len(), 1);
    reading.finish().await.unwrap();
}
