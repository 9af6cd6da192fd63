//! What every [`Remote`] does, as one suite: Postgres and its twin in memory pass the same checks.
//!
//! Method: each check gets a database of its own, empty, and compares it with a model that fits on a page. A [`Rig`] adds what
//! the trait does not have: other people, who edit rows by hand and leave transactions open.

pub(crate) mod audit;
pub(crate) mod content;
pub(crate) mod feed;
pub(crate) mod nearest;
pub(crate) mod push;
pub(crate) mod upkeep;

use super::remote::*;
use crate::config::{EmbeddingProfile, Metric, Schema};
use crate::ids::{ChunkId, Ver};
use crate::record::{self, Chunk, Edition, Stamp};
use std::collections::BTreeMap;

/// A database for one check, and other people at work in it. All of them write texts to ids.
#[allow(async_fn_in_trait, reason = "tests run on one thread")]
pub(crate) trait Rig {
    type Remote: Remote;
    /// A transaction that has not ended. Dropping it rolls it back.
    type Open;
    fn remote(&self) -> &Self::Remote;
    /// Somebody sets a text, or deletes the row, by hand.
    async fn edit(&self, collection: &str, id: &str, text: Option<&str>);
    /// The same, and does not commit yet.
    async fn open(&self, collection: &str, id: &str, text: Option<&str>) -> Self::Open;
    async fn commit(&self, open: Self::Open);
}

/// Makes one test of each check; `$rig` is an `async fn() -> impl Rig`.
macro_rules! conformance {
    ($rig:path) => {
        $crate::mirror::conformance::conformance! { $rig =>
            push::newer_versions_win_and_equal_ones_are_superseded,
            push::ties_are_broken_by_node_and_then_by_digest,
            push::many_rows_are_guarded_like_few,
            push::a_batch_is_stored_whole_or_not_at_all,
            push::deletions_stand_in_the_row_and_can_be_overcome,
            push::marks_only_rise,
            push::rows_pushed_at_once_by_two_end_equal,
            content::every_id_keeps_its_bytes_and_its_place,
            content::every_content_comes_back_with_its_digest,
            content::vectors_keep_their_bits_at_all_widths,
            content::large_rows_come_back,
            feed::changes_come_once_in_pages,
            feed::an_open_transaction_delays_its_own_rows_only,
            feed::no_change_is_lost_whatever_the_order_of_commits,
            feed::a_reading_sees_one_snapshot,
            nearest::neighbours_are_those_of_the_model_under_every_metric,
            nearest::equal_neighbours_come_by_the_bytes_of_their_ids,
            nearest::only_live_rows_with_a_vector_are_neighbours,
            nearest::neighbours_are_of_the_tenant_and_say_what_they_are,
            nearest::rows_without_a_value_of_each_list_are_left_out,
            nearest::nobody_has_neighbours_in_an_unknown_collection,
            audit::fingerprints_are_those_of_the_model,
            audit::splits_are_even_and_cover_everything,
            audit::heads_come_by_id_and_end_at_the_limit,
            audit::scans_bring_the_rows_of_a_range,
            audit::a_scan_can_be_ended_early,
            upkeep::an_edit_by_hand_is_newer_and_has_no_digest,
            upkeep::a_stamp_holds_for_the_version_that_was_looked_at,
            upkeep::a_stamp_passes_over_what_somebody_holds,
            upkeep::who_holds_rows_is_told_at_once,
            upkeep::a_deletion_by_hand_is_a_deletion,
            upkeep::deletions_stay_until_every_node_has_seen_them,
            upkeep::a_collection_is_declared_once,
            upkeep::a_collection_without_rows_can_be_undeclared,
            upkeep::looking_again_finds_the_same,
        }
    };
    ($rig:path => $($room:ident::$check:ident),* $(,)?) => {$(
        #[test]
        fn $check() {
            $crate::mirror::conformance::block_on(async {
                let rig = $rig().await;
                $crate::mirror::conformance::$room::$check(&rig).await;
            });
        }
    )*};
}
pub(crate) use conformance;

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

pub(crate) const DOCS: &str = "docs";
const NODE: NodeId = NodeId(77);

/// A mirror that has looked and declared a collection.
struct Site<'r, R: Rig> {
    rig: &'r R,
    schema: Schema,
    seed: u64,
    pushes: std::cell::Cell<u64>,
}

impl<'r, R: Rig> Site<'r, R> {
    async fn new(rig: &'r R, schema: Schema) -> Self {
        let database = rig.remote().look(NODE).await.unwrap();
        let collection = RemoteCollection { name: DOCS.to_owned(), schema: schema.clone() };
        rig.remote().declare(&collection).await.unwrap();
        Self { rig, schema, seed: database.digest_seed, pushes: 0.into() }
    }

    /// Two dimensions under l2.
    async fn small(rig: &'r R) -> Self {
        Self::new(rig, Schema::new(2, Metric::L2)).await
    }

    fn remote(&self) -> &'r R::Remote {
        self.rig.remote()
    }

    fn mark(&self) -> NodeMark {
        self.pushes.set(self.pushes.get() + 1);
        NodeMark { node: NODE.0, incarnation: 1, pushes: self.pushes.get() }
    }

    fn edition(&self, ver: i64, chunk: Chunk) -> Edition {
        let row = record::admit(chunk, self.schema.dim, self.schema.metric == Metric::Cosine).unwrap();
        let stamp = Stamp { ver: Ver(ver), node: NODE.0, digest: record::digest(&row, self.seed) };
        Edition { id: row.id.clone(), stamp, row: Some(row) }
    }

    fn text(&self, id: &str, ver: i64, text: &str) -> Edition {
        self.edition(ver, Chunk::new(id).text(text))
    }

    /// Sorted, as the contract wants it.
    async fn push(&self, batch: &[Edition]) -> Vec<Pushed> {
        let mut batch = batch.to_vec();
        batch.sort_by(|a, b| a.id.cmp(&b.id));
        self.remote().push(DOCS, &batch, self.mark()).await.unwrap()
    }

    async fn read(&self) -> <R::Remote as Remote>::Reading {
        self.remote().read().await.unwrap()
    }

    async fn row(&self, id: &str) -> Option<Edition> {
        self.rows(&[id]).await.pop()
    }

    async fn rows(&self, ids: &[&str]) -> Vec<Edition> {
        let ids: Vec<ChunkId> = ids.iter().map(|id| ChunkId::from(*id)).collect();
        let mut reading = self.read().await;
        let mut rows = reading.rows(DOCS, &ids).await.unwrap();
        assert_eq!(reading.refused(), []);
        reading.finish().await.unwrap();
        rows.sort_by(|a, b| a.id.cmp(&b.id));
        rows
    }

    /// All live rows with their contents.
    async fn scan(&self) -> Vec<Edition> {
        let mut reading = self.read().await;
        let mut all = Vec::new();
        let mut each = |piece: Vec<Edition>| {
            all.extend(piece);
            true
        };
        reading.scan(DOCS, &IdRange::default(), &mut each).await.unwrap();
        assert_eq!(reading.refused(), []);
        reading.finish().await.unwrap();
        all
    }
}

fn deletion(id: &str, ver: i64) -> Edition {
    let stamp = Stamp { ver: Ver(ver), node: NODE.0, digest: 0 };
    Edition { id: ChunkId::from(id), stamp, row: None }
}

/// The same by another node.
fn by(node: u64, edition: &Edition) -> Edition {
    Edition { stamp: Stamp { node, ..edition.stamp }, ..edition.clone() }
}

/// What the winner of each id is.
#[derive(Default)]
struct Model(BTreeMap<ChunkId, Edition>);

impl Model {
    fn apply(&mut self, batch: &[Edition]) -> Vec<Pushed> {
        batch.iter().map(|edition| self.apply_one(edition)).collect()
    }

    fn apply_one(&mut self, edition: &Edition) -> Pushed {
        if self.0.get(&edition.id).is_some_and(|there| there.stamp >= edition.stamp) {
            return Pushed::Superseded;
        }
        self.0.insert(edition.id.clone(), edition.clone());
        Pushed::Stored
    }

    fn live(&self) -> impl Iterator<Item = &Edition> {
        self.0.values().filter(|e| e.row.is_some())
    }

    fn fingerprint(&self, range: &IdRange, without: &[ChunkId]) -> Fingerprint {
        let mut print = Fingerprint::default();
        for e in self.live().filter(|e| is_inside(range, &e.id) && !without.contains(&e.id)) {
            print.rows += 1;
            print.xor ^= e.stamp.digest ^ e.stamp.ver.0 as u64;
            print.sum = print.sum.wrapping_add(e.stamp.digest);
        }
        print
    }
}

fn is_inside(range: &IdRange, id: &str) -> bool {
    range.from.as_deref().is_none_or(|from| id >= from)
        && range.until.as_deref().is_none_or(|until| id < until)
}

fn range(from: Option<&str>, until: Option<&str>) -> IdRange {
    IdRange { from: from.map(str::to_owned), until: until.map(str::to_owned) }
}

/// Numbers without a pattern, the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// Ids that break what is careless: quoting, lengths, orders that are not those of bytes.
fn hostile_ids() -> Vec<String> {
    let short = [
        "a",
        "B",
        "b",
        "A",
        "aa",
        "a b",
        "a'b",
        "a\"b",
        "a''; DROP TABLE chunk; --",
        "$1",
        "$$",
        "%s",
        "\\",
        "\\x00",
        "a\\'b",
        "{\"a\"}",
        "NULL",
        "\n",
        "\t",
        "\r\n",
        "\u{1}",
        "\u{7f}",
        " ",
        "  ",
        "-",
        "_",
        "~",
        "0",
        "00",
        "10",
        "9",
        "\u{e9}",
        "e\u{301}",
        "\u{df}",
        "ss",
        "\u{130}",
        "i",
        "\u{fffd}",
        "\u{ffff}",
        "\u{10000}",
        "\u{10ffff}",
        "\u{1f600}",
        "\u{202e}x",
        "\u{feff}",
        "a\u{0}b",
    ];
    let mut ids: Vec<String> =
        short.iter().filter(|id| !id.contains('\0')).map(|id| (*id).to_owned()).collect();
    ids.extend([
        "x".repeat(512),
        "\u{10ffff}".repeat(128),
        "'".repeat(512),
        "\\".repeat(511),
        "\u{e9}".repeat(256),
    ]);
    ids.sort();
    ids
}
