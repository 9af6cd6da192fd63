//! Texts of every kind, good and bad: what is read of them, and where they are cut.

mod documents;
mod folder;
mod reading;

use super::pack::{Piece, pack};
use super::sections::sections;
use super::*;
use crate::disk::sim::Random;
use crate::embed::estimate_tokens;

fn cut(text: &str, kind: Kind, tokens: usize, overlap: usize) -> Vec<Piece> {
    pack(text, sections(text, kind), &Chunking { tokens, overlap })
}

/// Some prose, the same for the same number.
fn prose(seed: u64, sentences: usize) -> String {
    let words =
        ["the", "store", "keeps", "vectors", "and", "blocks", "of", "rows", "that", "nobody", "loses"];
    let mut random = Random::new(seed);
    let sentence = |random: &mut Random| {
        let n = 5 + random.below(10);
        let words: Vec<&str> = (0..n).map(|_| words[random.below(words.len())]).collect();
        let text = words.join(" ");
        format!("{}{}. ", text[..1].to_uppercase(), &text[1..])
    };
    (0..sentences).map(|at| sentence(&mut random) + if at % 4 == 3 { "\n\n" } else { "" }).collect()
}

#[test]
fn chunks_fit_leave_nothing_out_and_are_slices_in_order() {
    let mut long = prose(1, 200);
    long.push_str(&"x".repeat(5_000));
    long.push_str(&"\u{4e2d}".repeat(3_000));
    long.push_str(&"no end of a sentence without a mark ".repeat(300));
    let markdown = format!(
        "Intro.\n\n# One\n\n{}\n\n## Two\n\n```rust\n{}```\n\n# Three\n{}",
        prose(2, 60),
        "let x = 1;\n".repeat(300),
        prose(3, 9)
    );
    let texts = [
        long,
        markdown,
        String::new(),
        "\n \n".into(),
        "a".into(),
        "\u{c}\u{c}page".into(),
        "---\n".into(),
        "```\nopen".into(),
        "#".into(),
        "# \n# a\n".into(),
    ];
    for text in &texts {
        for kind in [Kind::Text, Kind::Markdown, Kind::Code, Kind::Html, Kind::Pdf] {
            for (tokens, overlap) in [(16, 0), (16, 8), (100, 20), (384, 48)] {
                let pieces = cut(text, kind, tokens, overlap);
                let mut at = 0;
                for (piece, next) in pieces.iter().zip(pieces.iter().skip(1).map(Some).chain([None])) {
                    let part = &text[piece.range.clone()];
                    assert!(estimate_tokens(part) <= tokens, "{kind:?} {tokens}: {}", estimate_tokens(part));
                    let gap = text.get(at..piece.range.start).unwrap_or_default();
                    assert!(!gap.chars().any(char::is_alphanumeric), "left out: {gap:?}");
                    assert!(part.chars().any(char::is_alphanumeric) && part.trim_end() == part);
                    assert!(next.is_none_or(
                        |next| next.range.start > piece.range.start && next.range.end > piece.range.end
                    ));
                    at = piece.range.end;
                }
                assert!(!text[at..].chars().any(char::is_alphanumeric), "{:?}", &text[at..]);
            }
        }
    }
}

#[test]
fn chunks_overlap_by_whole_sentences_within_a_section_and_not_beyond() {
    let text = format!("# A\n\n{}\n\n# B\n\n{}", prose(5, 40), prose(6, 40));
    let (apart, over) = (cut(&text, Kind::Markdown, 100, 0), cut(&text, Kind::Markdown, 100, 30));
    assert!(apart.windows(2).all(|two| two[0].range.end <= two[1].range.start));
    let mut repeats = 0;
    for two in over.windows(2) {
        let shared = two[0].range.end.saturating_sub(two[1].range.start);
        if two[0].headings != two[1].headings {
            assert_eq!(shared, 0, "a section repeats another's end");
        } else if shared > 0 {
            repeats += 1;
            let part = &text[two[1].range.start..two[0].range.end];
            assert!(
                estimate_tokens(part) <= 30 && part.starts_with(char::is_uppercase) && part.ends_with('.'),
                "{part:?}"
            );
        }
    }
    assert!(repeats >= over.len() / 2, "{repeats} of {}", over.len());
}

#[test]
fn headings_lead_to_each_chunk_and_code_is_no_heading() {
    let text = "before\n\n# Top #\n\n## Left\n\nleft text\n\n```sh\n# no heading\n```\n\n    # nor this\n\n### Deep\n\ndeep text\n\n## Right\nright text\n";
    let padded = text.replace("text", &"text ".repeat(40));
    let pieces = cut(&padded, Kind::Markdown, 64, 0);
    let of = |words: &str| {
        let piece = pieces.iter().find(|piece| padded[piece.range.clone()].contains(words)).unwrap();
        piece.headings.join(" > ")
    };
    assert_eq!(of("before"), "");
    assert_eq!(of("left text"), "Top > Left");
    assert_eq!(of("# no heading"), "Top > Left");
    assert_eq!(of("deep text"), "Top > Left > Deep");
    assert_eq!(of("right text"), "Top > Right");
}

#[test]
fn a_line_under_a_paragraph_makes_it_a_heading_and_a_rule_does_not() {
    let text = "The whole\ntitle\n===\n\nfirst words\n\n---\n\nafter the rule\n\nPart\n----\n\nlast words\n\n    code\n    ===\n";
    let headings: Vec<(Vec<String>, usize)> =
        sections(text, Kind::Markdown).into_iter().map(|s| (s.headings, s.blocks.len())).collect();
    let top = "The whole title".to_owned();
    assert_eq!(headings, [(vec![top.clone()], 4), (vec![top.clone(), "Part".to_owned()], 3)]);
    let all = sections(text, Kind::Markdown);
    assert_eq!(&text[all[1].blocks[0].clone()], "Part\n----\n");
    assert_eq!(super::sections::title(text, &all), Some(top));
}

#[test]
fn an_edit_changes_the_chunks_around_it_and_no_others() {
    let share = |kind, before: &str, after: &str| {
        let texts = |text: &str| {
            cut(text, kind, 100, 16).into_iter().map(|piece| text[piece.range].to_owned()).collect::<Vec<_>>()
        };
        let (old, new) = (texts(before), texts(after));
        (new.iter().filter(|text| !old.contains(text)).count(), new.len())
    };
    // In a long text without headings, a sentence more at the beginning.
    let plain: String = (0..80).map(|seed| format!("{seed} {}", prose(seed, 4))).collect();
    let (new, all) = share(Kind::Text, &plain, &format!("One sentence more. And another.\n\n{plain}"));
    assert!(all > 30 && new <= all / 4, "{new} of {all}");
    let markdown: String = (0..20).map(|seed| format!("# Part {seed}\n\n{}\n\n", prose(seed, 12))).collect();
    let (new, all) = share(
        Kind::Markdown,
        &markdown,
        &markdown.replacen("# Part 3\n\n", "# Part 3\n\nA new beginning. ", 1),
    );
    assert!(all >= 40 && (1..=4).contains(&new), "{new} of {all}");
    let code: String = (0..60)
        .map(|n| format!("/// About {n}.\nfn f{n}() {{\n    let a = {n};\n\n    a + {n}\n}}\n\n"))
        .collect();
    let (new, all) = share(Kind::Code, &code, &code.replacen("let a = 7;", "let a = 8;", 1));
    assert!(all > 8 && (1..=3).contains(&new), "{new} of {all}");
}

#[test]
fn code_is_cut_between_functions() {
    let code: String =
        (0..30).map(|n| format!("fn f{n}() {{\n    let a = {n};\n\n    a + {n}\n}}\n\n")).collect();
    for piece in cut(&code, Kind::Code, 64, 0) {
        let part = &code[piece.range];
        assert!(part.starts_with("fn f") && part.ends_with('}'), "{part}");
    }
}

#[test]
fn a_title_is_in_the_settings_or_the_first_heading() {
    let title = |text: &str| super::sections::title(text, &sections(text, Kind::Markdown));
    assert_eq!(title("---\ntitle: \"The One\"\ntags: x\n---\n# Other\n").as_deref(), Some("The One"));
    assert_eq!(title("text\n\n## Small\n\n# Real ##\n").as_deref(), Some("Real"));
    assert_eq!(title("## Small\n"), None);
    assert!(
        cut("---\ntitle: x\n---\nbody\n", Kind::Markdown, 100, 0).iter().all(|piece| piece.range.start > 8)
    );
}

#[test]
fn sizes_that_cannot_work_are_refused() {
    for (tokens, overlap) in [(0, 0), (15, 0), (40_000, 0), (100, 51)] {
        assert!(Chunking { tokens, overlap }.validate().is_err());
    }
    Chunking::default().validate().unwrap();
}
