//! A model behind HTTP that answers well, badly, late, or not at all: right vectors or the error that says what to do.

mod fake;

use super::*;
use fake::{Fake, Reply, good, item, texts, vector};
use serde_json::{Value, json};
use std::time::Duration;

const DIM: usize = 3;

fn quick(fake: &Fake) -> HttpOptions {
    let ms = Duration::from_millis;
    HttpOptions::new(fake.url(), "m")
        .dim(DIM)
        .tries(4, ms(1), ms(4))
        .timeouts(ms(2_000), ms(2_000))
        .patience(ms(20_000))
}

fn embed(options: HttpOptions, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
    HttpEmbedder::new(options).unwrap().embed(texts)
}

fn named(n: usize) -> Vec<String> {
    (0..n).map(|at| format!("text number {at}")).collect()
}

fn refs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn expected(texts: &[String]) -> Vec<Vec<f32>> {
    texts.iter().map(|text| vector(text, DIM)).collect()
}

#[test]
fn vectors_come_in_the_order_of_the_texts_in_both_encodings() {
    for plain in [false, true] {
        // The service answers backwards.
        let fake = Fake::new(move |_, body| {
            let mut data: Vec<Value> = texts(body)
                .iter()
                .enumerate()
                .map(|(at, text)| item(at, &vector(text, DIM), plain))
                .collect();
            data.reverse();
            Reply::Say(200, "", json!({"data": data}).to_string())
        });
        let texts = named(10);
        assert_eq!(embed(quick(&fake).batch(4), &refs(&texts)).unwrap(), expected(&texts));
        assert_eq!(fake.requests(), 3);
        let asked = fake.asked.lock().unwrap();
        assert!(asked.iter().all(|body| body["encoding_format"] == "base64" && body["model"] == "m"));
    }
}

#[test]
fn no_request_has_more_texts_or_tokens_than_allowed_and_no_more_run_at_a_time() {
    let fake = Fake::new(|_, body| good(body, DIM));
    let mut texts = named(2_049);
    texts[7] = "word ".repeat(500);
    let options = quick(&fake).batch(2_048).batch_tokens(usize::MAX).concurrency(3);
    assert_eq!(embed(options, &refs(&texts)).unwrap(), expected(&texts));
    assert_eq!(fake.requests(), 2, "2,048 are a batch, one is left");
    let fake = Fake::new(|_, body| good(body, DIM));
    let options = quick(&fake).batch(100).batch_tokens(300).concurrency(3);
    assert_eq!(embed(options, &refs(&texts)).unwrap(), expected(&texts));
    for body in &*fake.asked.lock().unwrap() {
        let texts = fake::texts(body);
        let tokens: usize = texts.iter().map(|text| estimate_tokens(text)).sum();
        assert!(texts.len() <= 100 && (tokens <= 300 || texts.len() == 1), "{} {tokens}", texts.len());
    }
    assert!(fake.most.load(Ordering::SeqCst) <= 3);
    let mut asked = fake.texts();
    asked.sort();
    asked.dedup();
    assert_eq!(asked.len(), fake.texts().len(), "nothing is asked for twice");
}

#[test]
fn busy_and_broken_answers_are_asked_for_again_and_nothing_else_is() {
    let cases: [fn(&Value) -> Reply; 8] = [
        |_| Reply::Say(429, "retry-after: 0\r\n", String::new()),
        |_| Reply::Say(429, "retry-after: Sun, 06 Nov 1994 08:49:37 GMT\r\n", String::new()),
        |_| Reply::Say(500, "", "{\"error\": {\"message\": \"oh\"}}".to_owned()),
        |_| Reply::Say(503, "retry-after: soon\r\n", String::new()),
        |_| Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{\"data\": [".to_vec()),
        |_| Reply::Raw(Vec::new()),
        |_| Reply::Say(200, "", "{\"data\": []}".to_owned()),
        |body| {
            let twice = item(0, &[1.0; DIM], true);
            Reply::Say(200, "", json!({"data": vec![twice; texts(body).len()]}).to_string())
        },
    ];
    for (at, case) in cases.into_iter().enumerate() {
        let fake = Fake::new(move |n, body| if n == 1 || n == 2 { case(body) } else { good(body, DIM) });
        let texts = named(6);
        let options = quick(&fake).batch(2).concurrency(1);
        assert_eq!(embed(options, &refs(&texts)).unwrap(), expected(&texts), "case {at}");
        assert_eq!(fake.requests(), 5, "case {at}");
    }
}

#[test]
fn a_call_ends_when_its_patience_does_whatever_the_service_does() {
    let ms = Duration::from_millis;
    // Silence, a wait that is too long, faults for ever.
    let silent = Fake::new(|_, _| Reply::Silence);
    let error = embed(quick(&silent).timeouts(ms(50), ms(50)), &["a"]).unwrap_err();
    assert_eq!((error.kind(), silent.requests()), (ErrorKind::Unavailable, 4), "{error}");
    let patient = quick(&silent).timeouts(ms(50), ms(60_000)).patience(ms(120));
    assert_eq!(embed(patient, &["a"]).unwrap_err().kind(), ErrorKind::Unavailable);
    let busy = Fake::new(|_, _| Reply::Say(429, "retry-after: 3600\r\n", String::new()));
    let error = embed(quick(&busy).batch(1).concurrency(1), &["a", "b", "c"]).unwrap_err();
    assert!(error.kind() == ErrorKind::Unavailable && error.to_string().contains("3600 s"), "{error}");
    assert_eq!(busy.requests(), 1, "the others of the call do not ask, either");
    let down = Fake::new(|_, _| Reply::Say(500, "", String::new()));
    assert_eq!(embed(quick(&down), &["a"]).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(down.requests(), 4);
    let nobody = HttpOptions::new("http://127.0.0.1:1", "m").dim(DIM).tries(2, ms(1), ms(1));
    assert_eq!(embed(nobody, &["a"]).unwrap_err().kind(), ErrorKind::Unavailable);
}

#[test]
fn what_is_done_is_kept_when_the_service_goes_away() {
    let fake = Fake::new(|n, body| if n < 2 { good(body, DIM) } else { Reply::Say(500, "", String::new()) });
    let texts = named(6);
    let embedder = HttpEmbedder::new(quick(&fake).batch(1).concurrency(1)).unwrap();
    let each = embedder.embed_each(&refs(&texts));
    assert_eq!(each.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false, false, false, false]);
    assert!(each[2..].iter().all(|e| e.as_ref().unwrap_err().kind() == ErrorKind::Unavailable));
    assert_eq!(fake.requests(), 2 + 4, "only one text was tried again and again");
}

#[test]
fn a_refused_text_is_named_and_all_others_have_their_vectors() {
    for status in [400, 413, 422] {
        let fake = Fake::new(move |_, body| match texts(body).iter().any(|text| text.contains("BAD")) {
            true => Reply::Say(status, "", "{\"error\": {\"message\": \"too long\"}}".to_owned()),
            false => good(body, DIM),
        });
        let mut texts = named(50);
        (texts[3], texts[31]) = ("BAD one".to_owned(), "the BAD other".to_owned());
        let embedder = HttpEmbedder::new(quick(&fake).batch(16)).unwrap();
        let each = embedder.embed_each(&refs(&texts));
        for (at, (found, text)) in each.iter().zip(&texts).enumerate() {
            match found {
                Ok(found) => assert_eq!(*found, vector(text, DIM)),
                Err(e) => {
                    let told = e.to_string();
                    assert!([3, 31].contains(&at) && e.kind() == ErrorKind::Invalid, "{told}");
                    assert!(told.contains(&format!("text {at} ")) && told.contains("too long"), "{told}");
                }
            }
        }
        assert_eq!(each.iter().filter(|found| found.is_err()).count(), 2);
    }
}

#[test]
fn a_service_that_refuses_everything_is_not_asked_about_every_text() {
    let fake = Fake::new(|_, _| Reply::Say(400, "", "no".to_owned()));
    let texts = named(2_000);
    let error = embed(quick(&fake).concurrency(1), &refs(&texts)).unwrap_err();
    assert!(fake.requests() < 100, "{}", fake.requests());
    assert_eq!(error.kind(), ErrorKind::Invalid, "the first text is named: {error}");
    let each = HttpEmbedder::new(quick(&fake)).unwrap().embed_each(&refs(&texts));
    assert_eq!(each.last().unwrap().as_ref().unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn vectors_of_another_width_are_an_error_that_names_both() {
    let fake = Fake::new(|_, body| good(body, 5));
    let error = embed(quick(&fake), &["a"]).unwrap_err();
    assert!(
        error.kind() == ErrorKind::Conflict && error.message().contains("of 5 numbers, 3 were"),
        "{error}"
    );
    assert_eq!(fake.requests(), 1, "asking again would change nothing");
    let seen = HttpEmbedder::new(HttpOptions::new(format!("{}/v1/", fake.url()), "m")).unwrap();
    assert_eq!(seen.dim(), 5);
    let short = Fake::new(|_, body| good(body, body["dimensions"].as_u64().unwrap() as usize));
    assert_eq!(embed(quick(&short).shortened_to(2), &["a"]).unwrap()[0].len(), 2);
}

#[test]
fn vectors_without_a_direction_are_their_texts_fault_alone() {
    for bad in [json!([0.0, 0.0, 0.0]), json!("AADAfwAAgD8AAIA/"), json!([1.0, 1e300, 1.0])] {
        let fake = Fake::new(move |_, body| {
            let other = item(1, &vector(&texts(body)[1], DIM), true);
            Reply::Say(200, "", json!({"data": [{"index": 0, "embedding": bad}, other]}).to_string())
        });
        let each = HttpEmbedder::new(quick(&fake)).unwrap().embed_each(&["a", "b"]);
        assert_eq!(each[0].as_ref().unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(*each[1].as_ref().unwrap(), vector("b", DIM));
    }
    let fake = Fake::new(|_, body| good(body, DIM));
    let unit = embed(quick(&fake).normalized(true), &["a"]).unwrap().remove(0);
    assert!((unit.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
}

#[test]
fn a_service_that_knows_no_base64_is_asked_without_it_from_then_on() {
    let fake = Fake::new(|_, body| match body.get("encoding_format") {
        Some(_) => Reply::Say(400, "", "{\"detail\": \"unknown field encoding_format\"}".to_owned()),
        None => good(body, DIM),
    });
    let texts = named(9);
    let options = quick(&fake).batch(3).concurrency(1);
    assert_eq!(embed(options, &refs(&texts)).unwrap(), expected(&texts));
    assert_eq!(fake.requests(), 4);
}

#[test]
fn an_answer_without_end_is_cut_and_a_redirect_is_not_followed() {
    let other = Fake::new(|_, body| good(body, DIM));
    let to: &'static str = format!("location: {}/v1/embeddings\r\n", other.url()).leak();
    let redirects = Fake::new(move |_, _| Reply::Say(307, to, String::new()));
    let error = embed(quick(&redirects).key("secret-key"), &["a"]).unwrap_err();
    assert!(error.kind() == ErrorKind::Conflict && error.message().contains("not followed"), "{error}");
    assert_eq!(other.requests(), 0);
    let huge = Fake::new(|_, _| {
        let mut bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 90000000\r\n\r\n".to_vec();
        bytes.resize(8 << 20, b' ');
        Reply::Raw(bytes)
    });
    let error = embed(quick(&huge), &["a"]).unwrap_err();
    assert!(error.kind() == ErrorKind::Conflict && error.message().contains("more than"), "{error}");
    assert_eq!(huge.requests(), 1);
}

#[test]
fn the_key_is_sent_and_never_told() {
    let fake = Fake::new(|_, _| {
        Reply::Say(401, "", "{\"error\": {\"message\": \"wrong key: sk-very-secret\"}}".to_owned())
    });
    let options = quick(&fake).key("sk-very-secret");
    let embedder = HttpEmbedder::new(options.clone()).unwrap();
    let error = embedder.embed(&["a"]).unwrap_err();
    assert_eq!((error.kind(), fake.requests()), (ErrorKind::Conflict, 1));
    for told in [format!("{options:?}"), format!("{embedder:?}"), error.to_string(), format!("{error:?}")] {
        assert!(!told.contains("very-secret"), "{told}");
    }
    assert!(fake.heads.lock().unwrap()[0].contains("Bearer sk-very-secret"));
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("key"), "sk-of-a-file \nmore\n").unwrap();
    let options = quick(&fake).key_file(home.path().join("key")).unwrap();
    let _ = embed(options, &["a"]);
    assert!(fake.heads.lock().unwrap()[1].contains("Bearer sk-of-a-file\r\n"));
    assert_eq!(quick(&fake).key_file(home.path().join("none")).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn options_that_cannot_work_are_refused() {
    let of = |base: &str| HttpOptions::new(base, "m").dim(3);
    let wrong = [
        of("api.openai.com"),
        of("ftp://a"),
        of("http://"),
        of("http://user:pass@host"),
        of("http://a?b=c"),
        HttpOptions::new("http://a", "").dim(3),
        of("http://a").dim(0),
        of("http://a").dim(20_000),
        of("http://a").batch(0),
        of("http://a").batch(2_049),
        of("http://a").concurrency(65),
        of("http://a").key("two words"),
        of("http://a").key(""),
    ];
    for options in wrong {
        let error = HttpEmbedder::new(options).unwrap_err();
        assert!(error.kind() == ErrorKind::Invalid && !error.message().contains("pass@"), "{error}");
    }
    for (base, url) in [
        ("https://api.openai.com", "https://api.openai.com/v1/embeddings"),
        ("http://h:1/v1/", "http://h:1/v1/embeddings"),
        ("http://h/openai", "http://h/openai/v1/embeddings"),
    ] {
        assert_eq!(of(base).address().unwrap(), url);
    }
}

#[test]
fn batches_are_cut_by_texts_and_by_tokens() {
    let cut = |tokens: &[usize]| batch::cut(tokens, 3, 10);
    assert!(cut(&[]).is_empty());
    assert_eq!(cut(&[1; 7]), [0..3, 3..6, 6..7]);
    assert_eq!(cut(&[5, 5, 1]), [0..2, 2..3]);
    assert_eq!(cut(&[99, 1, 99, 99]), [0..1, 1..2, 2..3, 3..4]);
    assert_eq!(cut(&[usize::MAX, usize::MAX]), [0..1, 1..2]);
}

#[test]
fn waits_double_with_jitter_and_dates_are_read() {
    use retry::{Meaning, meaning, retry_after, wait};
    for (tried, low, high) in
        [(1, 50, 100), (2, 100, 200), (3, 200, 400), (9, 250, 500), (u32::MAX, 250, 500)]
    {
        for random in [0, 7, u64::MAX] {
            let ms = wait(tried, (100, 500), random).as_millis();
            assert!((low..=high).contains(&ms), "{tried} {random}: {ms}");
        }
    }
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let s = |header: &str, now| retry_after(header, now).map(|wait| wait.as_secs());
    assert_eq!(s(date, 784_111_777 - 90), Some(90));
    assert_eq!(s("Thu, 29 Feb 2024 00:00:00 GMT", 1_709_164_800 - 1), Some(1));
    assert_eq!(s("Sat, 21 Nov 2026 02:00:00 GMT", 1_795_226_400 - 5), Some(5));
    assert_eq!((s(date, 784_111_800), s(" 7 ", 0), s("1.5", 0)), (Some(0), Some(7), Some(1)));
    assert_eq!(s("99999999999999999999", 0), Some(u64::MAX));
    for wrong in [
        "",
        "soon",
        "-3",
        "NaN",
        "Sun, 06 Nov 1994",
        "Sun, 40 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49 GMT",
    ] {
        assert_eq!(s(wrong, 0), None, "{wrong}");
    }
    for (status, means) in [
        (200, Meaning::Good),
        (301, Meaning::Never),
        (400, Meaning::Blames),
        (401, Meaning::Never),
        (404, Meaning::Never),
        (429, Meaning::Later),
        (503, Meaning::Later),
    ] {
        assert_eq!(meaning(status), means);
    }
}
