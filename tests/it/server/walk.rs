//! The table of routes, walked: what the description lists is what there is. Each is closed to strangers, takes its methods alone,
//! names its request and answers HEAD. The unit tests hold the description to the table, this one holds the server to both.

use super::{Bed, assert_problem};
use nearfield::server::{Options, Tokens};
use serde_json::Value;

const READ: &str = "read-0123456789abcdef0123456789abcdef";
const WRITE: &str = "write-0123456789abcdef0123456789abcde";
const ADMIN: &str = "admin-0123456789abcdef0123456789abcde";

fn tokens() -> Tokens {
    Tokens::parse(&format!("read {READ}\nwrite {WRITE}\nadmin {ADMIN}")).unwrap()
}

struct Route {
    method: String,
    path: String,
    role: Option<String>,
}

/// Everything that the description lists.
fn routes(bed: &Bed) -> Vec<Route> {
    let (status, api) = bed.client().with_token(READ).get("/openapi.json").json();
    assert_eq!((status, api["openapi"].as_str()), (200, Some("3.1.0")));
    let mut routes = Vec::new();
    for (path, verbs) in api["paths"].as_object().unwrap() {
        for (verb, told) in verbs.as_object().unwrap() {
            let role = told["description"]
                .as_str()
                .map(|text| text.trim_start_matches("Needs a token for ").trim_end_matches('.').to_owned());
            let path = path.replace("{collection}", "docs").replace("{id}", "1");
            routes.push(Route { method: verb.to_uppercase(), path, role });
        }
    }
    assert_eq!(routes.len(), 39, "a route was added: look at the tests of what it does, then count it here");
    routes
}

/// S2.
#[test]
fn s2_every_route_is_closed_without_a_token_but_two() {
    let bed = Bed::with(Options { tokens: tokens(), ..Options::default() });
    let mut open = Vec::new();
    for Route { method, path, role } in routes(&bed) {
        let Some(role) = role else {
            open.push(path);
            continue;
        };
        let mut client = bed.client();
        for wrong in [None, Some(&READ[1..]), Some("x"), Some(&format!("{ADMIN}{ADMIN}")[..])] {
            client.token = wrong.map(str::to_owned);
            let (status, body) = client.send(&method, &path, &[], b"").json();
            assert!(status == 401 || status == 429, "{method} {path}: {status} {body}");
        }
        for (token, has) in [(READ, 0), (WRITE, 1), (ADMIN, 2)] {
            let needs = ["read", "write", "admin"].iter().position(|name| *name == role).unwrap();
            let answer = bed.client().with_token(token).send(&method, &path, &[], b"");
            let is_refused = matches!(answer.status, 401 | 403);
            assert_eq!(is_refused, has < needs, "{method} {path} with {token}: {}", answer.text());
        }
    }
    open.sort();
    assert_eq!(open, ["/livez", "/readyz"]);
    // What there is not is closed, too, and tells a stranger nothing.
    for (method, path) in
        [("GET", "/"), ("GET", "/v2"), ("PUT", "/v1/collections"), ("OPTIONS", "/v1/admin/status")]
    {
        let status = bed.client().send(method, path, &[], b"").status;
        assert!(status == 401 || status == 429, "{method} {path}: {status}");
    }
}

#[test]
fn s4_whoever_guesses_hears_the_same_and_then_to_wait() {
    let bed = Bed::with(Options { tokens: tokens(), ..Options::default() });
    let mut bodies = Vec::new();
    for n in 0..40 {
        let answer = bed.client().with_token(&format!("{n:040}")).get("/v1/collections");
        bodies.push((
            answer.status,
            answer.header("retry-after").to_owned(),
            answer.json().1["detail"].clone(),
        ));
    }
    assert_eq!((bodies[0].0, bodies[39].0), (401, 429));
    assert!(!bodies[39].1.is_empty());
    assert!(bodies.windows(2).all(|two| two[0].0 != two[1].0 || two[0].2 == two[1].2));
    // Who has a token is let in all the same.
    assert_eq!(bed.client().with_token(READ).get("/v1/collections").status, 200);
}

#[test]
fn every_path_takes_its_methods_alone_and_every_answer_names_its_request() {
    let bed = Bed::filled(20);
    let all = routes(&bed);
    for Route { path, .. } in &all {
        let takes: Vec<&str> = all.iter().filter(|r| r.path == *path).map(|r| r.method.as_str()).collect();
        for method in ["PUT", "PATCH", "OPTIONS", "TRACE", "BREW", "GET", "POST", "DELETE"] {
            // A chunk may be named like a route.
            let is_name = path.contains("/chunks/") && ["GET", "HEAD"].contains(&method);
            if takes.contains(&method) || is_name {
                continue;
            }
            let answer = bed.client().send(method, path, &[("x-request-id", "mine-1")], b"");
            assert_eq!((answer.status, answer.header("x-request-id")), (405, "mine-1"), "{method} {path}");
            let allow = answer.header("allow").to_owned();
            assert!(takes.iter().all(|takes| allow.contains(takes)), "{allow}");
            assert!(answer.header("access-control-allow-origin").is_empty());
            assert_problem(answer.json(), 405, "invalid", method);
        }
    }
    for Route { method, path, .. } in all.iter().filter(|route| route.method == "GET") {
        let whole = bed.client().send(method, path, &[], b"");
        assert!(!whole.header("x-request-id").is_empty(), "{path}");
        let mut client = bed.client();
        let head = client.send("HEAD", path, &[], b"");
        assert_eq!(head.status, whole.status, "HEAD {path}");
        // Nothing stands between this answer and the next.
        assert_eq!(client.get("/livez").json().1["status"], "ok", "after HEAD {path}");
    }
}

#[test]
fn what_there_is_not_is_a_problem_too() {
    let bed = Bed::filled(1);
    for path in [
        "/v1",
        "/v1/collections/",
        "/v1/collections/docs/",
        "/V1/collections",
        "//livez",
        "/livez/",
        "/v1/%2e%2e/livez",
    ] {
        let answer = bed.client().get(path);
        assert!(!answer.header("x-request-id").is_empty());
        assert_problem(answer.json(), 404, "not_found", "path");
    }
}

#[test]
fn the_page_is_one_and_needs_nothing_from_elsewhere() {
    let bed = Bed::new();
    let page = bed.client().get("/docs");
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(page.text().contains("openapi.json"));
}

#[test]
fn health_is_told_to_machines_and_to_people() {
    let bed = Bed::filled(5);
    assert_eq!(bed.get("/livez"), (200, serde_json::json!({"status": "ok"})));
    assert_eq!(bed.get("/readyz"), (200, serde_json::json!({"status": "ok"})));
    let (status, health) = bed.get("/healthz");
    assert_eq!(
        (status, health["status"].as_str(), &health["writable"]),
        (200, Some("ok"), &Value::Bool(true))
    );
    let (_, admin) = bed.get("/v1/admin/status");
    assert_eq!(admin["store"]["token"], bed.store.token().to_string());
    assert_eq!(
        (&admin["collections"][0]["counts"]["rows"], &admin["mirror"]["state"]),
        (&5.into(), &"disabled".into())
    );
    bed.store.close(std::time::Duration::from_secs(5)).unwrap();
    assert_eq!(bed.get("/livez").0, 200);
    let closed = bed.client().get("/readyz");
    assert_eq!((closed.status, closed.text().as_str()), (503, r#"{"status":"closed"}"#));
    assert_eq!(bed.get("/healthz").1["writable"], false);
}
