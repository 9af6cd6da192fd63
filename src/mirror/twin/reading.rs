//! One snapshot of the twin, as a transaction that reads sees it.

use super::table::{Version, World, is_visible, parts};
use super::{Twin, fault};
use crate::config::Metric;
use crate::engine::tap::Neighbour;
use crate::filter::Needle;
use crate::ids::ChunkId;
use crate::mirror::remote::*;
use crate::record::{Edition, Head, Stamp, digest};
use parking_lot::MutexGuard;
use serde_json::Value;

const SCAN_PIECE: usize = 3;

pub(crate) struct TwinReading {
    twin: Twin,
    snapshot: Snapshot,
    readable: u64,
}

impl TwinReading {
    pub(super) fn new(twin: Twin, snapshot: Snapshot, readable: u64) -> Self {
        Self { twin, snapshot, readable }
    }

    async fn world(&self) -> Done<MutexGuard<'_, World>> {
        self.twin.call(false).await?;
        let world = self.twin.world.lock();
        if world.readable != self.readable {
            return Err(fault(FaultClass::Transient, "57P01"));
        }
        Ok(world)
    }

    /// The rows of a collection that are seen, by id.
    fn seen<'a>(&'a self, world: &'a World, collection: &'a str) -> impl Iterator<Item = &'a Version> {
        let of_it = world.rows.iter().filter(move |((name, _), _)| name == collection);
        of_it.filter_map(|(_, versions)| World::seen(versions, &self.snapshot))
    }

    fn live<'a>(
        &'a self,
        world: &'a World,
        collection: &'a str,
        range: &'a IdRange,
    ) -> impl Iterator<Item = &'a Version> {
        let is_in = |id: &str| {
            range.from.as_deref().is_none_or(|from| from <= id)
                && range.until.as_deref().is_none_or(|until| id < until)
        };
        self.seen(world, collection).filter(move |v| !v.head.is_deleted && is_in(&v.head.id))
    }

    fn edition(world: &World, version: &Version) -> Edition {
        let Head { id, ver, node, digest: stored, .. } = version.head.clone();
        let digest = stored.or(version.row.as_ref().map(|row| digest(row, world.seed))).unwrap_or(0);
        Edition { id, stamp: Stamp { ver, node, digest }, row: version.row.clone() }
    }
}

impl Reading for TwinReading {
    fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    async fn changes(
        &mut self,
        since: &Snapshot,
        until: &Snapshot,
        after: Option<&ChangeKey>,
        limit: usize,
    ) -> Done<Vec<Change>> {
        let world = self.world().await?;
        let (xmin, ..) = parts(since);
        let mut changes = Vec::new();
        for ((collection, id), versions) in &world.rows {
            let Some(seen) = World::seen(versions, &self.snapshot) else { continue };
            let key = ChangeKey { xid: seen.xid, collection: collection.clone(), id: id.clone() };
            let is_new = seen.xid >= xmin && !is_visible(seen.xid, since) && is_visible(seen.xid, until);
            if is_new && after.is_none_or(|after| *after < key) {
                changes.push(Change { key, head: seen.head.clone() });
            }
        }
        changes.sort_by(|a, b| a.key.cmp(&b.key));
        changes.truncate(limit);
        Ok(changes)
    }

    async fn rows(&mut self, collection: &str, ids: &[ChunkId]) -> Done<Vec<Edition>> {
        let world = self.world().await?;
        let wanted = self.seen(&world, collection).filter(|version| ids.contains(&version.head.id));
        Ok(wanted.map(|version| Self::edition(&world, version)).collect())
    }

    async fn fingerprints(
        &mut self,
        collection: &str,
        ranges: &[IdRange],
        without: &[ChunkId],
    ) -> Done<Vec<Fingerprint>> {
        let world = self.world().await?;
        let print = |range: &IdRange| {
            let mut print = Fingerprint::default();
            for version in self.live(&world, collection, range).filter(|v| !without.contains(&v.head.id)) {
                let digest = version.head.digest.unwrap_or(0);
                print.rows += 1;
                print.xor ^= digest ^ version.head.ver.0 as u64;
                print.sum = print.sum.wrapping_add(digest);
            }
            print
        };
        Ok(ranges.iter().map(print).collect())
    }

    async fn heads(&mut self, collection: &str, range: &IdRange, limit: usize) -> Done<Vec<Head>> {
        let world = self.world().await?;
        Ok(self.live(&world, collection, range).take(limit).map(|version| version.head.clone()).collect())
    }

    async fn split(&mut self, collection: &str, parts: usize) -> Done<Vec<IdRange>> {
        let world = self.world().await?;
        let all = IdRange::default();
        let ids: Vec<&str> =
            self.live(&world, collection, &all).map(|version| version.head.id.as_str()).collect();
        let step = ids.len().div_ceil(parts.max(1)).max(1);
        let mut ranges = vec![IdRange::default()];
        for start in ids.iter().step_by(step).skip(1) {
            if let Some(last) = ranges.last_mut() {
                last.until = Some((*start).to_owned());
            }
            ranges.push(IdRange { from: Some((*start).to_owned()), until: None });
        }
        Ok(ranges)
    }

    async fn scan(
        &mut self,
        collection: &str,
        range: &IdRange,
        each: &mut (dyn FnMut(Vec<Edition>) -> bool + Send),
    ) -> Done<()> {
        let editions: Vec<Edition> = {
            let world = self.world().await?;
            self.live(&world, collection, range).map(|version| Self::edition(&world, version)).collect()
        };
        for piece in editions.chunks(SCAN_PIECE) {
            // The line may break between two pieces.
            drop(self.world().await?);
            if !each(piece.to_vec()) {
                break;
            }
        }
        Ok(())
    }

    async fn nearest(&mut self, collection: &str, near: &Near<'_>, limit: usize) -> Done<Vec<Neighbour>> {
        let world = self.world().await?;
        let metric = world.collections.get(collection).map(|schema| schema.metric);
        let metric = metric.ok_or_else(|| fault(FaultClass::Transient, "unknown"))?;
        let all = IdRange::default();
        let mut found: Vec<Neighbour> = self
            .live(&world, collection, &all)
            .filter_map(|version| neighbour(version, metric, near))
            .collect();
        found.sort_by(|a, b| a.distance.total_cmp(&b.distance).then_with(|| a.head.id.cmp(&b.head.id)));
        found.truncate(limit);
        Ok(found)
    }

    async fn finish(self) -> Done<()> {
        self.twin.call(false).await.map(drop)
    }
}

fn neighbour(version: &Version, metric: Metric, near: &Near<'_>) -> Option<Neighbour> {
    let row = version.row.as_ref()?;
    let vector = row.vector.as_ref().filter(|vector| vector.len() == near.query.len())?;
    let payload = row.payload.as_deref();
    let tenant = payload.and_then(|payload| payload.tenant.as_deref());
    if near.tenant.is_some() && tenant != near.tenant {
        return None;
    }
    let metadata = payload.map(|payload| payload.metadata_map()).unwrap_or_default();
    let all = Value::Object(metadata.clone());
    if !near.needles.iter().all(|list| holds(&all, list)) {
        return None;
    }
    Some(Neighbour {
        head: version.head.clone(),
        distance: distance(metric, vector, near.query),
        document: payload.and_then(|payload| payload.document.as_deref()).map(str::to_owned),
        metadata: if near.wants_metadata { metadata } else { Default::default() },
    })
}

/// Whether one of the needles is somewhere in a value.
fn holds(value: &Value, list: &[Needle]) -> bool {
    let inside = match value {
        Value::Object(map) => map.values().any(|value| holds(value, list)),
        Value::Array(items) => items.iter().any(|value| holds(value, list)),
        _ => false,
    };
    let is_it = |needle: &Needle| match needle {
        Needle::Value(wanted) => wanted == value,
        Needle::Number { from, to } => value.as_f64().is_some_and(|x| (*from..=*to).contains(&x)),
    };
    inside || list.iter().any(is_it)
}

/// By the book.
fn distance(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
    let pairs = || a.iter().zip(b).map(|(x, y)| (f64::from(*x), f64::from(*y)));
    let dot = || pairs().map(|(x, y)| x * y).sum::<f64>();
    let norm = |v: &[f32]| v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    match metric {
        Metric::Cosine => 1.0 - dot() / (norm(a) * norm(b)),
        Metric::L2 => pairs().map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt(),
        Metric::Dot => -dot(),
        Metric::L1 => pairs().map(|(x, y)| (x - y).abs()).sum(),
    }
}
