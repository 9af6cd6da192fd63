//! Goal: a program of `examples/` does what it says. Method: what can be called is called.

#[path = "../../examples/embedded.rs"]
#[allow(dead_code, unreachable_pub, reason = "an example has a main of its own")]
mod embedded;

#[test]
fn embedded_searches_while_it_writes() {
    let home = tempfile::tempdir().unwrap();
    let told = embedded::run(&home.path().join("store"), 200).unwrap();
    assert!(told.starts_with("200 rows written") && told.ends_with("ticket-7"), "{told}");
    assert!(!told.contains("beside 0 searches"), "{told}");
}
