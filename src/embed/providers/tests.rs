//! Which profiles are served, by whom, and what is said of the others.

use super::*;

fn two() -> Providers {
    let near = ProviderOptions::new("http://127.0.0.1:1");
    let wide = ProviderOptions { dimensions: 1_536, ..ProviderOptions::new("https://api.example.com/v1") };
    Providers::new([("near".to_owned(), near), ("wide".to_owned(), wide)]).unwrap()
}

fn profile(provider: &str, model: &str) -> EmbeddingProfile {
    EmbeddingProfile::new(provider, model)
}

#[test]
fn a_profile_is_served_or_refused_with_what_helps() {
    let all = two();
    assert_eq!(all.names().collect::<Vec<_>>(), ["hashed", "near", "wide"]);
    for (provider, model, dim) in
        [("hashed", "nearfield-hashed-64", 64), ("near", "m", 3), ("near", "m", 4), ("wide", "m", 1_536)]
    {
        let profile = profile(provider, model);
        let embedder = all.embedder(&profile, dim).unwrap();
        assert_eq!((embedder.model(), embedder.dim()), (model, dim));
        assert_eq!(all.is_local(&profile), provider == "hashed");
    }
    for (provider, model, dim, kind, told) in [
        ("nobody", "m", 3, ErrorKind::Invalid, "known are: hashed, near, wide"),
        ("Near", "m", 3, ErrorKind::Invalid, "lower-case"),
        ("near", "", 3, ErrorKind::Invalid, "is 0"),
        ("wide", "m", 384, ErrorKind::Conflict, "vectors of 1536 numbers, the collection has 384"),
        (
            "hashed",
            "nearfield-hashed-512",
            384,
            ErrorKind::Conflict,
            "of 512 numbers, the collection has 384",
        ),
        ("hashed", "words", 384, ErrorKind::Invalid, "it is nearfield-hashed-384"),
        ("hashed", "nearfield-hashed-0384", 384, ErrorKind::Invalid, "it is nearfield-hashed-384"),
        ("hashed", "nearfield-hashed-3", 3, ErrorKind::Invalid, "64 to 4096"),
    ] {
        let error = all.embedder(&profile(provider, model), dim).err().unwrap();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(told), "{error}");
    }
    let hashed = Providers::hashed(512);
    assert_eq!(Providers::default().embedder(&hashed, 512).unwrap().model(), hashed.model);
}

#[test]
fn settings_that_cannot_work_are_refused_and_no_secret_is_repeated() {
    let with = |name: &str, change: fn(&mut ProviderOptions)| {
        let mut options = ProviderOptions::new("http://127.0.0.1:1");
        change(&mut options);
        Providers::new([(name.to_owned(), options)]).unwrap_err().to_string()
    };
    for (error, told) in [
        (with("hashed", |_| ()), "built in"),
        (with("A", |_| ()), "lower-case"),
        (with("a", |o| o.url.clear()), "provider a of embeddings"),
        (with("a", |o| o.url = "ftp://x".into()), "https://api.openai.com"),
        (with("a", |o| o.url = "http://me:hush@h".into()), "key_file or key_env"),
        (with("a", |o| o.url = "http://h/?key=hush".into()), "key_file or key_env"),
        (with("a", |o| o.batch = 0), "batch is 0"),
        (with("a", |o| o.concurrency = 65), "concurrency is 65"),
        (with("a", |o| o.timeout_ms = 0), "timeout_ms is 0"),
        (with("a", |o| o.dimensions = 16_001), "dimensions is 16001"),
        (
            with("a", |o| (o.key_env, o.key_file) = (Some("K".into()), Some("/k".into()))),
            "both key_file and key_env",
        ),
    ] {
        assert!(error.contains(told) && !error.contains("hush"), "{error}");
    }
    // Where the key is, is looked at when it is needed.
    let absent =
        ProviderOptions { key_file: Some("/nowhere/key".into()), ..ProviderOptions::new("http://h") };
    let all = Providers::new([("a".to_owned(), absent)]).unwrap();
    let error = all.embedder(&profile("a", "m"), 3).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("/nowhere/key"), "{error}");
}
