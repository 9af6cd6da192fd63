//! No question is an error, whatever its bytes; languages; what a snippet shows.

use super::*;
use crate::limits;
use proptest::prelude::*;

#[test]
fn no_question_fails_and_no_syntax_is_known() {
    let rows = Rows::made(&[1_100], &mut Dice(9));
    let index = index(Language::English);
    fill(&index, &rows, 1, usize::MAX);
    let long = "library ".repeat(100_000);
    let many: String = (0..10_000).map(|n| format!("word{n} ")).collect();
    for question in [
        "",
        " ",
        "\"",
        "\"\"",
        "\"\"\"\"",
        "+python",
        "-python",
        "python AND",
        "(python",
        "text:python",
        "pyth*",
        "python~2",
        "/re.*/",
        "[a TO b]",
        "\\",
        "\0",
        "\u{202e}\u{1f600}",
        "python^9",
        "NOT",
        "\u{201c}data server\u{201d}",
        &long,
        &many,
    ] {
        let found = search(&index, question, &rows.live, 10);
        let expected = oracle(&rows, Language::English, question, &rows.live);
        assert_same(&found, &expected, 10, &question.chars().take(30).collect::<String>());
    }
    assert!(index.question(&many).is_cut && index.question(&long).is_cut);
    assert_eq!(index.question(&many).terms().len(), limits::TEXT_QUERY_TERMS_MAX);
    assert!(!index.question("python").is_cut);
}

proptest! {
    #[test]
    fn any_text_is_indexed_and_any_question_answered(texts in proptest::collection::vec(".{0,80}", 1..20), question in ".{0,60}") {
        let mut rows = Rows::default();
        texts.iter().zip(0..).for_each(|(text, slot)| rows.add(Slot(slot), Some(text.clone())));
        let in_tail = index(Language::English);
        fill(&in_tail, &rows, 0, 0);
        let in_segment = index(Language::English);
        fill(&in_segment, &rows, 1, usize::MAX);
        for asked in texts.iter().chain([&question]) {
            let expected = oracle(&rows, Language::English, asked, &rows.live);
            assert_same(&search(&in_tail, asked, &rows.live, 30), &expected, 30, "tail");
            assert_same(&search(&in_segment, asked, &rows.live, 30), &expected, 30, "segment");
            let shown = in_tail.snippet(asked, &in_tail.question(&question));
            prop_assert_eq!(&asked[shown.start..shown.start + shown.text.len()], &shown.text);
        }
    }
}

#[test]
fn languages_stem_and_none_does_not() {
    let mut rows = Rows::default();
    rows.add(Slot(0), Some("Die H\u{e4}user am See".to_owned()));
    rows.add(Slot(1), Some("The RUNNING server's libraries".to_owned()));
    let finds = |language, question| {
        let index = index(language);
        fill(&index, &rows, 0, 0);
        search(&index, question, &rows.live, 9).hits.iter().map(|hit| hit.1.0).collect::<Vec<_>>()
    };
    assert_eq!(finds(Language::English, "run library"), [1]);
    assert_eq!(finds(Language::None, "run library"), [0u32; 0]);
    assert_eq!(finds(Language::None, "Running hauser"), [0, 1]);
    assert_eq!(finds(Language::German, "haus"), [0]);
    assert_eq!(finds(Language::English, "the"), [1]);
    assert!(TextIndex::new(1, Language::Off).unwrap().is_none());
}

#[test]
fn a_snippet_shows_the_window_with_most_words_and_marks_them() {
    let index = index(Language::English);
    let text = format!(
        "{} the fast python server runs; servers run caf\u{e9} {}",
        "filler \u{e9}\u{e9} ".repeat(100),
        "end ".repeat(5_000)
    );
    let shown = index.snippet(&text, &index.question("server running python"));
    let marked: Vec<&str> = shown.highlights.iter().map(|(from, to)| &shown.text[*from..*to]).collect();
    assert_eq!(marked, ["python", "server", "runs", "servers", "run"]);
    assert!(shown.text.len() <= limits::SNIPPET_BYTES_MAX && text[shown.start..].starts_with(&shown.text));
    let shown = index.snippet(&text, &index.question("absent"));
    assert!(shown.start == 0 && shown.highlights.is_empty() && shown.text.starts_with("filler"));
    assert_eq!(index.snippet("", &index.question("x")).text, "");
}
