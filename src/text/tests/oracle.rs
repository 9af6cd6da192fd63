//! Answers are those of BM25 by the book, wherever rows stand.

use super::*;

#[test]
fn answers_are_those_of_bm25_over_segments_and_tail() {
    for seed in 0..2u64 {
        let mut dice = Dice(seed);
        let rows = Rows::made(&[1_100, 300, 2_100], &mut dice);
        for (steps, growing) in [(0, 2), (1, 2), (usize::MAX, 2), (usize::MAX, 3)] {
            let index = index(Language::English);
            fill(&index, &rows, growing, steps);
            let counts = index.counts();
            assert_eq!(counts.documents, rows.texts.values().flatten().count());
            assert_eq!(counts.tail == 0, growing == 3, "{counts:?}");
            let odd: Vec<Slot> = rows.live.iter().filter(|slot| slot.0 % 3 == 1).collect();
            let few: Vec<Slot> = rows.live.iter().filter(|slot| slot.0 % 97 == 1).collect();
            for accepted in
                [rows.live.clone(), SlotBits::default().with(&odd, &[]), SlotBits::default().with(&few, &[])]
            {
                for question in QUESTIONS {
                    let expected = oracle(&rows, Language::English, question, &accepted);
                    let holding = holding_all(&rows, question, &expected);
                    for k in [1, 10, 5_000] {
                        let what =
                            format!("seed {seed}, steps {steps}, {question:?}, k {k}, of {}", accepted.len());
                        assert_same(&search(&index, question, &accepted, k), &expected, k, &what);
                        let all = index.question(question);
                        let found = index.search(&all, Wanted::All, &accepted, k, &by_slot).unwrap();
                        assert_same(&found, &holding, k, &format!("{what}, all words"));
                    }
                }
            }
        }
    }
}

#[test]
fn equal_scores_stand_in_the_callers_order_and_are_cut_by_it() {
    let mut rows = Rows::default();
    for slot in 0..3_000 {
        rows.add(Slot(slot), Some("one same text".to_owned()));
    }
    let index = index(Language::English);
    fill(&index, &rows, 0, 1);
    let backwards = |a: Slot, b: Slot| b.cmp(&a);
    let found = index.search(&index.question("text"), Wanted::Any, &rows.live, 5, &backwards).unwrap();
    assert_eq!(found.hits.iter().map(|hit| hit.1.0).collect::<Vec<_>>(), [2_999, 2_998, 2_997, 2_996, 2_995]);
}

#[test]
fn a_plain_match_is_a_text_of_average_length_with_each_word_once() {
    let mut rows = Rows::default();
    let texts = ["red fox runs home", "red dog sleeps here", "blue fox sleeps here", "red red fox fox"];
    for (slot, text) in (0..).zip(texts) {
        rows.add(Slot(slot), Some(text.to_owned()));
    }
    let index = index(Language::None);
    for steps in [0, 1] {
        fill(&index, &rows, 3, steps);
        for question in ["red fox", "\"red fox\"", "\"red\" fox nowhere"] {
            let found =
                index.search(&index.question(question), Wanted::All, &rows.live, 9, &by_slot).unwrap();
            let score = found.hits.iter().find(|hit| hit.1 == Slot(0)).unwrap().0;
            assert!((score - found.plain).abs() < 1e-5, "{question}: {score} and {}", found.plain);
        }
    }
}

#[test]
fn rows_are_found_as_soon_as_they_were_brought_in_and_dead_ones_never() {
    let mut rows = Rows::made(&[700], &mut Dice(3));
    let index = index(Language::English);
    fill(&index, &rows, 0, 0);
    let new = Slot(700);
    rows.add(new, Some("a wholly unheard of zebra".to_owned()));
    assert_eq!(index.lag(&rows.live, usize::MAX), 1);
    assert!(search(&index, "zebra", &rows.live, 9).hits.is_empty());
    assert!(index.catch_up(&rows.live, &rows, 1));
    assert_eq!(search(&index, "zebras", &rows.live, 9).hits[0].1, new);
    let without = rows.live.with(&[], &[new]);
    assert!(search(&index, "zebra", &without, 9).hits.is_empty());
}

#[test]
fn catching_up_is_bounded_and_goes_on_where_it_ended() {
    let rows = Rows::made(&[1_000, 500], &mut Dice(4));
    let index = index(Language::None);
    assert!(!index.catch_up(&rows.live, &rows, 300));
    assert_eq!(index.lag(&rows.live, usize::MAX), 1_200);
    assert_eq!(index.counts().documents, rows.texts.values().take(300).flatten().count());
    assert!(!index.catch_up(&rows.live, &rows, 900));
    assert_eq!((index.lag(&rows.live, usize::MAX), index.lag(&rows.live, 7)), (300, 7));
    assert!(index.catch_up(&rows.live, &rows, 900));
    let expected = oracle(&rows, Language::None, "games", &rows.live);
    assert_same(&search(&index, "games", &rows.live, 99), &expected, 99, "games");
}

#[test]
fn a_block_that_is_given_back_is_gone_from_answers_and_statistics() {
    let mut rows = Rows::made(&[1_100, 1_200], &mut Dice(5));
    let index = index(Language::English);
    fill(&index, &rows, 2, usize::MAX);
    index.drop_block(BlockId(0));
    let dead: Vec<Slot> = rows.live.iter().filter(|slot| slot.block() == BlockId(0)).collect();
    // A search that began before still holds it to be live.
    assert!(index.catch_up(&rows.live, &rows, usize::MAX));
    rows.live = rows.live.with(&[], &dead);
    rows.texts.retain(|slot, _| slot.block() != BlockId(0));
    let expected = oracle(&rows, Language::English, "python server", &rows.live);
    assert_same(&search(&index, "python server", &rows.live, 50), &expected, 50, "after a drop");
    assert_eq!(index.counts().segments, 1);
}

#[test]
fn merges_keep_every_row_once() {
    let mut rows = Rows::default();
    let index = index(Language::English);
    let mut dice = Dice(6);
    for slot in 0..9_000 {
        rows.texts.insert(Slot(slot), (slot % 5 > 0).then(|| text(&mut dice)));
        if slot % 1_000 == 999 {
            let new: Vec<Slot> = (slot - 999..=slot).map(Slot).collect();
            rows.live = rows.live.with(&new, &[]);
            fill(&index, &rows, 0, usize::MAX);
        }
    }
    assert!(index.counts().segments < 6, "{:?}", index.counts());
    fill(&index, &rows, 1, usize::MAX);
    let counts = index.counts();
    assert_eq!((counts.segments, counts.tail, counts.documents), (1, 0, 7_200));
    for question in QUESTIONS {
        let expected = oracle(&rows, Language::English, question, &rows.live);
        assert_same(&search(&index, question, &rows.live, 20), &expected, 20, question);
    }
}

#[test]
fn rows_without_texts_are_covered_and_cost_nothing() {
    let mut rows = Rows::made(&[0], &mut Dice(1));
    (0..5_000).for_each(|slot| rows.add(Slot(slot), None));
    let index = index(Language::English);
    fill(&index, &rows, 1, usize::MAX);
    assert_eq!(
        (index.lag(&rows.live, usize::MAX), index.counts().documents, index.counts().segments),
        (0, 0, 1)
    );
    assert!(search(&index, "anything", &rows.live, 3).hits.is_empty());
}
