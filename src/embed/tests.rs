//! The built-in embedder: what is near, what is refused, and that it never changes.

use super::*;

fn cosine(a: &str, b: &str) -> f32 {
    let vectors = Hashed::default().embed(&[a, b]).unwrap();
    vectors[0].iter().zip(&vectors[1]).map(|(x, y)| x * y).sum()
}

#[test]
fn texts_that_share_words_are_near_and_others_are_not() {
    let text = "The write-ahead log is synced before a write is acknowledged.";
    let same = cosine(text, "the WRITE ahead LOG is synced, before a write is acknowledged");
    let near = cosine(text, "When is the log synced?");
    let inflected = cosine(text, "acknowledgement of writes by logs");
    let far = cosine(text, "Bananas ripen quickly on sunny windowsills");
    assert!(same > 0.999 && near > 0.25 && inflected > 0.2 && far < 0.12, "{same} {near} {inflected} {far}");
    assert!(cosine("openCollection", "open_collection") > 0.999);
}

#[test]
fn vectors_have_the_width_that_was_asked_for_and_length_one() {
    for dim in [64, 384, 4_096] {
        let embedder = Hashed::new(dim).unwrap();
        assert_eq!((embedder.dim(), embedder.model()), (dim, format!("nearfield-hashed-{dim}").as_str()));
        for vector in
            embedder.embed(&["a", "\u{3b1}\u{3b2}\u{3b3} \u{4e2d}\u{6587}", &"word ".repeat(10_000)]).unwrap()
        {
            let length: f32 = vector.iter().map(|x| x * x).sum();
            assert!(vector.len() == dim && (length - 1.0).abs() < 1e-5, "{length}");
        }
    }
}

#[test]
fn what_has_no_vector_is_refused_as_a_whole() {
    let embedder = Hashed::default();
    for empty in ["", "  \n", "-- !! ..", "\u{200b}"] {
        assert_eq!(
            embedder.embed(&["good", empty]).unwrap_err().kind(),
            crate::ErrorKind::Invalid,
            "{empty:?}"
        );
    }
    let error = Hashed::new(8).unwrap_err().to_string();
    assert!(error.contains("dim is 8") && error.contains("64 to 4096"), "{error}");
}

/// Stored vectors are compared with those of later releases: these numbers are a promise.
#[test]
fn the_same_text_has_the_same_vector_for_ever() {
    let vector =
        Hashed::new(64).unwrap().embed(&["Nearfield keeps what it acknowledged."]).unwrap().remove(0);
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    assert_eq!(xxhash_rust::xxh3::xxh3_64(&bytes), 13_806_639_714_296_409_250, "{vector:?}");
}

/// Refuses what says so, and goes away.
struct Picky;

impl Embedder for Picky {
    fn model(&self) -> &str {
        "picky"
    }

    fn dim(&self) -> usize {
        1
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        match texts.iter().find(|text| ["bad", "away"].contains(*text)) {
            Some(&"bad") => Err(Error::invalid("bad")),
            Some(_) => Err(Error::new(ErrorKind::Unavailable, "away")),
            None => Ok(texts.iter().map(|text| vec![text.len() as f32]).collect()),
        }
    }
}

#[test]
fn a_text_that_is_refused_costs_no_other_its_vector() {
    let texts = ["a", "bad", "ccc", "bad", "eeeee"];
    let each: Vec<Option<f32>> = Picky.embed_each(&texts).into_iter().map(|v| v.ok().map(|v| v[0])).collect();
    assert_eq!(each, [Some(1.0), None, Some(3.0), None, Some(5.0)]);
    let away = Picky.embed_each(&["a", "away"]);
    assert!(away.iter().all(|e| e.as_ref().unwrap_err().kind() == ErrorKind::Unavailable));
}

#[test]
fn the_estimate_of_tokens_errs_upward_and_not_by_much() {
    // Counted with cl100k_base.
    let cases = [
        ("", 0),
        ("hello world", 2),
        ("The write-ahead log is synced before a write is acknowledged.", 13),
        ("fn main() { println!(\"{}\", 1 + 2); }", 14),
        ("\u{4f60}\u{597d}\u{4e16}\u{754c}", 4),
        ("one\n\n\ntwo", 3),
    ];
    for (text, tokens) in cases {
        let estimated = estimate_tokens(text);
        assert!(tokens <= estimated && estimated <= tokens * 3 / 2 + 4, "{text:?}: {estimated} for {tokens}");
    }
    let parts = ["some words here, ", "and\nmore ", "\u{4f60}\u{597d} 12345"];
    assert!(estimate_tokens(&parts.concat()) <= parts.iter().map(|part| estimate_tokens(part)).sum());
}
