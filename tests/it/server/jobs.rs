//! Jobs over HTTP: begun, looked at, cancelled; snapshots only where they were allowed.

use super::{Bed, assert_problem};
use nearfield::server::Options;
use nearfield::{Store, StoreStats};
use serde_json::{Value, json};

pub(super) fn finished(bed: &Bed, answer: (u16, Value)) -> Value {
    let (status, body) = answer;
    assert_eq!(status, 202, "{body}");
    let path = format!("/v1/admin/jobs/{}", body["job"]["id"].as_str().unwrap());
    loop {
        let (status, job) = bed.get(&path);
        assert_eq!(status, 200, "{job}");
        if !["queued", "running"].contains(&job["state"].as_str().unwrap()) {
            return job;
        }
        std::thread::yield_now();
    }
}

fn on_disk(folder: &tempfile::TempDir, options: Options) -> Bed {
    let store = Store::open(folder.path().join("data"), nearfield::Options::default()).unwrap();
    let bed = Bed::of(store, options);
    bed.fill(500);
    bed
}

#[test]
fn the_store_is_kept_by_jobs_and_each_tells_what_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let snapshots = folder.path().join("snapshots");
    let bed = on_disk(&folder, Options { snapshots: Some(snapshots.clone()), ..Options::default() });
    bed.post("/v1/collections/docs/chunks/delete", json!({"filter": {"even": true}}));
    for (path, body) in [("checkpoint", json!({})), ("reclaim", json!({})), ("verify", json!({"deep": true}))]
    {
        let job = finished(&bed, bed.post(&format!("/v1/admin/{path}"), body));
        assert_eq!(
            (&job["kind"], &job["state"], &job["error"]),
            (&json!(path), &json!("done"), &Value::Null),
            "{job}"
        );
        assert_eq!(job["progress"]["done"], job["progress"]["total"], "{job}");
        assert!(job["started_at"].as_str() <= job["finished_at"].as_str());
    }
    let verified = finished(&bed, bed.client().send("POST", "/v1/admin/verify", &[], b"").json());
    assert_eq!((&verified["result"]["healthy"], &verified["result"]["place"]), (&json!(true), &json!("")));

    let job = finished(&bed, bed.post("/v1/admin/snapshot", json!({})));
    let name = job["result"]["name"].as_str().unwrap();
    assert!(!job.to_string().contains(&*folder.path().to_string_lossy()), "{job}");
    let copy = Store::open(snapshots.join(name), nearfield::Options::default()).unwrap();
    assert_eq!(copy.open_collection("docs").unwrap().count(None).unwrap(), 250);
    let (_, all) = bed.get("/v1/admin/jobs");
    let kinds: Vec<&str> =
        all["jobs"].as_array().unwrap().iter().map(|job| job["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["snapshot", "verify", "verify", "reclaim", "checkpoint"]);
    let StoreStats { failures, .. } = bed.store.stats();
    assert_eq!(failures, Vec::<String>::new());
}

/// S13.
#[test]
fn s13_nobody_says_where_a_snapshot_goes() {
    let bed = Bed::filled(1);
    assert_problem(bed.post("/v1/admin/snapshot", json!({})), 503, "unavailable", "no folder");
    let folder = tempfile::tempdir().unwrap();
    let bed = on_disk(&folder, Options { snapshots: Some(folder.path().join("s")), ..Options::default() });
    for body in [json!({"path": "/etc"}), json!({"name": "../../x"}), json!({"to": "x"})] {
        assert_problem(bed.post("/v1/admin/snapshot", body), 400, "invalid", "unknown field");
    }
    assert_problem(bed.get("/v1/admin/jobs/..%2f..%2fetc"), 404, "not_found", "no such job");
    assert!(!folder.path().join("s").exists());
}

#[test]
fn a_mirror_that_is_not_there_is_told_at_once() {
    let bed = Bed::filled(1);
    for mode in ["push", "pull", "audit", "repair", "rebuild"] {
        let body = json!({"mode": mode, "trust": "database"});
        assert_problem(bed.post("/v1/admin/sync", body), 503, "unavailable", "no mirror");
    }
    assert_problem(bed.post("/v1/admin/sync", json!({"mode": "merge"})), 400, "invalid", "unknown variant");
    assert_problem(bed.post("/v1/admin/sync", json!({})), 400, "invalid", "missing field `mode`");
    assert_problem(bed.post("/v1/admin/resolve", json!({"trust": "local"})), 503, "unavailable", "no mirror");
    assert_problem(bed.post("/v1/admin/resolve", json!({"trust": "me"})), 400, "invalid", "unknown variant");
}

#[test]
fn a_job_is_cancelled_and_ends_in_one_state() {
    let bed = Bed::filled(200);
    let (_, begun) = bed.post("/v1/admin/reclaim", json!({}));
    let path = format!("/v1/admin/jobs/{}", begun["job"]["id"].as_str().unwrap());
    assert_eq!(bed.delete(&path).0, 200);
    let state = finished(&bed, (202, begun))["state"].clone();
    assert!(state == "done" || state == "cancelled", "{state}");
    assert_eq!(bed.delete(&path).1["state"], state);
    assert_problem(bed.delete("/v1/admin/jobs/nothing"), 404, "not_found", "no such job");
}
