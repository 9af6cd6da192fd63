//! The twin passes the suite of every remote.

use super::people::Hand;
use super::{Twin, World};
use crate::mirror::conformance::{Rig, conformance};
use parking_lot::Mutex;
use std::sync::Arc;

/// Any time will do.
const NOW_MS: u64 = 1_700_000_000_000;

struct Site(Twin);

/// Somebody's transaction that has not ended.
struct Open {
    world: Arc<Mutex<World>>,
    xid: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.world.lock().roll_back(self.xid);
    }
}

async fn rig() -> Site {
    Site(Twin::new(Arc::new(Mutex::new(World::new(NOW_MS)))))
}

fn hand(text: Option<&str>) -> Hand<'_> {
    text.map_or(Hand::Delete, Hand::Text)
}

impl Rig for Site {
    type Remote = Twin;
    type Open = Open;

    fn remote(&self) -> &Twin {
        &self.0
    }

    async fn edit(&self, collection: &str, id: &str, text: Option<&str>) {
        self.0.world.lock().edit_by(collection, id, hand(text));
    }

    async fn open(&self, collection: &str, id: &str, text: Option<&str>) -> Open {
        let mut world = self.0.world.lock();
        let xid = world.begin();
        world.write_by(xid, collection, id, hand(text));
        Open { world: self.0.world.clone(), xid }
    }

    async fn commit(&self, open: Open) {
        self.0.world.lock().commit(open.xid);
    }
}

conformance!(rig);
