//! The public handle and its thread, on a twin: what a host calls.

use super::*;
use crate::error::ErrorKind;
use crate::mirror::options::Trust;
use crate::mirror::twin::Upset;
use crate::mirror::{Mirror, MirrorState};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(30);

/// A store, its mirror's line, and the lines it tells of changes of state.
fn start(world: &Arc<Mutex<World>>, line: &Twin) -> (Store, Mirror, mpsc::Receiver<String>) {
    let store = Store::memory();
    let (tell, told) = mpsc::channel();
    let options = MirrorOptions::default()
        .poll_ms_min(1)
        .poll_ms_max(5)
        // Nothing here may wait for the next look.
        .look_ms(600_000)
        .on_change(move |line| _ = tell.send(line.into()));
    let _ = world;
    let mirror = Mirror::start_on(&store, line.clone(), options).unwrap();
    (store, mirror, told)
}

fn until(told: &mpsc::Receiver<String>, state: &str) {
    while !told.recv_timeout(LONG).unwrap().contains(&format!("-> {state}")) {}
}

#[test]
fn a_write_is_mirrored_and_the_state_is_told() {
    let world = world();
    let line = Twin::new(world.clone());
    let (store, mirror, told) = start(&world, &line);
    let docs = store.create_collection(DOCS, schema()).unwrap();
    let token = docs.upsert([Chunk::new("x").vector([1.0, 1.0])]).unwrap().token;
    mirror.push_now().unwrap();
    mirror.wait_mirrored(token, LONG).unwrap();
    until(&told, "in_sync");
    assert_eq!(x_there(&world, "x"), Some(1.0));
    assert!(mirror.audit(DOCS, true).unwrap().is_equal());
    let later = store.create_collection("later", schema()).unwrap();
    let token = later.upsert([Chunk::new("z").vector([1.0, 3.0])]).unwrap().token;
    mirror.wait_mirrored(token, LONG).unwrap();
    world.lock().edit(DOCS, "y", Some(&[2.0, 2.0]));
    mirror.pull_now().unwrap();
    assert!(docs.get("y").unwrap().is_some());
    mirror.rebuild(DOCS).unwrap();
    assert!(mirror.repair(DOCS, Trust::Database, false).unwrap().is_equal());
    assert_eq!(mirror.audit("nothing", false).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!((mirror.dead_letters().unwrap(), mirror.retry_dead_letters().unwrap()), (vec![], 0));
    let status = mirror.status();
    assert_eq!((status.dirty_rows, status.audits[DOCS].drift), (0, 0));
    mirror.resolve(Trust::Local).unwrap();
    mirror.stop(LONG).unwrap();
    until(&told, "disabled");
    assert_eq!(mirror.status().state, MirrorState::Disabled);
    assert_eq!(mirror.push_now().unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn m1_m23_a_database_that_hangs_holds_up_nobody() {
    let world = world();
    let line = Twin::new(world.clone());
    line.upset(Upset::Hang);
    let (asked, heard) = mpsc::channel();
    line.surprise(Box::new(move || _ = asked.send(())));
    let (store, mirror, _told) = start(&world, &line);
    // A mirror that has not asked yet would leave the hang to the next one.
    heard.recv_timeout(LONG).unwrap();
    let docs = store.create_collection(DOCS, schema()).unwrap();
    let token = docs.upsert([Chunk::new("x").vector([1.0, 1.0])]).unwrap().token;
    let error = mirror.wait_mirrored(token, Duration::from_millis(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let before = Instant::now();
    mirror.stop(LONG).unwrap();
    assert!(before.elapsed() < LONG);
    assert_eq!(x_there(&world, "x"), None);

    // The next start sends it.
    let again = Mirror::start_on(&store, line, MirrorOptions::default()).unwrap();
    again.wait_mirrored(token, LONG).unwrap();
    assert_eq!(x_there(&world, "x"), Some(1.0));
}

#[test]
fn a_handle_that_goes_ends_the_thread_and_so_does_the_store() {
    let world = world();
    let line = Twin::new(world.clone());
    let (store, mirror, told) = start(&world, &line);
    until(&told, "connecting");
    drop(mirror);
    until(&told, "disabled");
    drop(store);
    let (store, _mirror, told) = start(&world, &Twin::new(world.clone()));
    until(&told, "connecting");
    drop(store);
    until(&told, "disabled");
}

#[test]
fn options_that_cannot_work_are_refused() {
    let line = Twin::new(world());
    let refused = Mirror::start_on(&Store::memory(), line, MirrorOptions::default().poll_ms_min(0));
    assert_eq!(refused.err().map(|e| e.kind()), Some(ErrorKind::Invalid));
}
