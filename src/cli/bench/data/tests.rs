//! What belongs to which row. The readers of tables have their tests beside them.

use super::load::check_truth;
use super::*;
use crate::import::Lines;

#[test]
fn truths_are_read_from_both_formats() {
    let read = |bytes: Vec<u8>, extension| {
        let len = bytes.len() as u64;
        integers(Input::of(std::io::Cursor::new(bytes), len), extension)
    };
    let file = [2i32, 9, -1].map(i32::to_le_bytes).concat();
    assert_eq!(read(file, "ivecs").unwrap(), Neighbours { width: 2, rows: vec![9, NO_ROW] });
    let file = [1i32, -2].map(i32::to_le_bytes).concat();
    assert!(read(file, "ivecs").unwrap_err().contains("-2 is no row number"));
    assert!(read(Vec::new(), "txt").unwrap_err().contains(".npy and .ivecs"));
}

#[test]
fn metadata_lines_belong_to_rows() {
    let lines = |bytes: &'static [u8]| Lines::of(Box::new(bytes));
    let read = |text: &'static str, rows| metadata::read(lines(text.as_bytes())?, rows);
    let found = read("{\"id\":\"a\",\"metadata\":{\"n\":1}}\n{\"id\":\"b\"}\n\n", 2).unwrap();
    assert_eq!((found[0]["n"].as_u64(), found[1].len()), (Some(1), 0));
    for (text, reason) in [
        ("{}\n", "has 1 lines, but the base has 2 rows"),
        ("{}\n\n{}\n", "line 3 follows a blank line"),
        ("{}\n{\"metadata\": [1]}\n", "line 2"),
        ("{}\n{", "line 2"),
    ] {
        assert!(read(text, 2).unwrap_err().contains(reason), "{text}");
    }
    assert!(metadata::read(lines(b"\x28\xb5\x2f\xfd\xff").unwrap(), 2).is_err(), "zstd that is none");
}

#[test]
fn a_truth_must_fit_its_queries_rows_and_k() {
    let truth = Neighbours { width: 2, rows: vec![0, 1, 2, NO_ROW] };
    assert_eq!(check_truth(&truth, 2, 3, 2), Ok(()));
    // Fewer rows than k: two columns are all there can be.
    assert_eq!(
        check_truth(&truth, 2, 2, 5).unwrap_err(),
        "names row 2, but the base has 2 rows, counted from 0"
    );
    assert!(check_truth(&truth, 3, 3, 2).unwrap_err().contains("2 queries, but there are 3"));
    assert!(check_truth(&truth, 2, 3, 3).unwrap_err().contains("k is 3"));
    assert_eq!(truth.of(1, 2).collect::<Vec<_>>(), [2]);
}
