//! Goal: no bytes of any file make an import do anything but refuse, or store rows that are the file's: no panic, no memory beyond what the
//! file is worth, nothing changed. Method: every cut and every flipped bit of small files of each format, as dry runs in-process; headers
//! that claim more than there is, under a limit of memory, by the program itself.

use super::{Home, made};
use nearfield::Metric;
use std::fs;
use std::process::{Command, ExitCode};

/// Each format, with what its import needs beside the file.
const FILES: [(&str, &[&str]); 17] = [
    ("vectors.f2.npy", &["--metric", "l2"]),
    ("vectors.f4.npy", &["--metric", "cosine"]),
    ("vectors.fvecs", &["--metric", "l2"]),
    ("vectors.bvecs", &["--metric", "l2"]),
    ("chunks.jsonl", &["--metric", "l2"]),
    ("columns.csv", &["--metric", "l2"]),
    ("fixed.parquet", &["--metric", "l2", "--columns", "id=key"]),
    ("halves.parquet", &["--metric", "l2"]),
    ("flat-l2.faiss", &[]),
    ("flat-l1.faiss", &[]),
    ("hnsw.faiss", &[]),
    ("idmap.faiss", &[]),
    ("idmap2-hnsw.faiss", &[]),
    ("l2.hnswlib", &["--metric", "l2"]),
    ("store-lists/vectors.pkl", &[]),
    ("store-matrix5/vectors.pkl", &[]),
    ("store-old/vectors.pkl", &[]),
];

/// What a damaged file may come to.
fn tried(home: &Home, name: &str, bytes: &[u8], args: &[&str], told: &str) -> bool {
    let file = home.at(name.rsplit('/').next().unwrap());
    fs::write(&file, bytes).unwrap();
    let call = [&["import", file.as_str(), "--into", "docs", "--dry-run", "--max-rejects", "1000"][..], args]
        .concat();
    let (code, _, err) = home.called(&call);
    if code == ExitCode::SUCCESS {
        return true;
    }
    assert_eq!(code, ExitCode::from(1), "{name}, {told}: {err}");
    let is_typed = err.starts_with("error: ") && !err.contains("please report") && err.len() < 20_000;
    assert!(is_typed, "{name}, {told}: {err}");
    false
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused_or_read_up_to_there() {
    for (name, args) in FILES {
        let (home, whole) = (Home::new(), fs::read(made(name)).unwrap());
        let mut read = 0;
        for end in 0..whole.len() {
            read += usize::from(tried(&home, name, &whole[..end], args, &format!("{end} bytes")));
        }
        // Lines and rows of a fixed length may end anywhere; what has a length in its head may not.
        let may_be_cut = name.ends_with("vecs") || name.ends_with(".jsonl") || name.ends_with(".csv");
        assert!(may_be_cut || read == 0, "{name} was read although it was cut, {read} times");
        assert!(tried(&home, name, &whole, args, "whole"));
    }
}

#[test]
fn any_flipped_bit_is_refused_or_changes_rows_and_nothing_else() {
    for (name, args) in FILES {
        let (home, whole) = (Home::new(), fs::read(made(name)).unwrap());
        let all = std::env::var("NEARFIELD_HOSTILE").is_ok_and(|value| value == "all");
        // Heads whole, the rest in samples; a prime, so that each bit of a byte has its turn.
        for bit in (0..whole.len() * 8).filter(|bit| all || *bit < 1_600 || bit % 37 == 0) {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            tried(&home, name, &bytes, args, &format!("bit {bit}"));
        }
    }
}

#[test]
fn a_damaged_file_changes_no_store() {
    let home = Home::new();
    let old = home.fill("docs", Metric::L2);
    let whole = fs::read(made("idmap.faiss")).unwrap();
    let file = home.at("cut.faiss");
    for end in [0, 3, 50, 400, whole.len() - 1] {
        fs::write(&file, &whole[..end]).unwrap();
        home.refused(&["import", &file, "--into", "docs", "--mode", "replace", "--yes"]);
        home.refused(&["import", &file, "--into", "new"]);
        assert_eq!((home.rows("docs").unwrap(), home.names()), (old.clone(), vec!["docs".to_owned()]));
    }
    // What is only found out on the way, when rows are staged: numbers that are none, and an id that comes twice.
    let mut bytes = fs::read(made("vectors.f4.npy")).unwrap();
    let last = bytes.len() - 4;
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        bytes[last..].copy_from_slice(&value.to_le_bytes());
        let file = home.at("bad.npy");
        fs::write(&file, &bytes).unwrap();
        let said = home.refused(&["import", &file, "--into", "docs", "--mode", "append", "--batch", "2"]);
        assert!(said.contains("row 19 (at byte") && said.contains("every element must be finite"), "{said}");
        assert_eq!(home.rows("docs").unwrap(), old);
    }
    let mut bytes = fs::read(made("idmap.faiss")).unwrap();
    let at = bytes.len() - 8;
    bytes.copy_within(at - 8..at, at);
    fs::write(&file, &bytes).unwrap();
    let said = home.refused(&["import", &file, "--into", "docs", "--mode", "append", "--batch", "2"]);
    assert!(said.contains("its id came before in this file"), "{said}");
    assert_eq!((home.rows("docs").unwrap(), home.names()), (old, vec!["docs".to_owned()]));
}

/// Puts numbers into places of a file.
fn with(name: &str, changes: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = fs::read(made(name)).unwrap();
    for (at, value) in changes {
        bytes[*at..*at + value.len()].copy_from_slice(value);
    }
    bytes
}

#[cfg(target_os = "linux")]
#[test]
fn a_head_that_lies_takes_no_memory() {
    let huge = &(1u64 << 60).to_le_bytes()[..];
    let many = &u32::MAX.to_le_bytes()[..];
    let npy = |shape: &str| {
        let head = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend(118u16.to_le_bytes());
        bytes.extend(format!("{head:<117}\n").bytes());
        bytes.extend([0; 64]);
        bytes
    };
    let pickle = |code: &[u8]| [b"\x80\x04", code].concat();
    // A list that holds the one before twice, forty times: all of it would be a trillion values.
    let mut bomb = b"\x80\x04]\x94".to_vec();
    for n in 0..40u8 {
        bomb.extend([b']', 0x94, b'(', b'h', n, b'h', n, b'e']);
    }
    bomb.push(b'.');
    let deep = [b"\x80\x04".to_vec(), vec![b']'; 500_000], vec![b'a'; 499_999], b".".to_vec()].concat();
    let itself = b"\x80\x04]\x94h\x00a.".to_vec();
    // One letter, 300 MiB of it, is a few KiB of zstd.
    let packed = zstd::encode_all(&vec![b'x'; 300 << 20][..], 3).unwrap();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("rows.npy", npy("(1152921504606846976, 4)")),
        ("columns.npy", npy("(1, 1152921504606846976)")),
        ("both.npy", npy("(4294967296, 4294967296)")),
        ("dim.fvecs", with("vectors.fvecs", &[(0, &i32::MAX.to_le_bytes())])),
        ("rows.faiss", with("flat-l2.faiss", &[(4 + 4, huge)])),
        ("both.faiss", with("flat-l2.faiss", &[(8, huge), (37, &(6u64 << 60).to_le_bytes())])),
        ("dim.faiss", with("flat-l2.faiss", &[(4, &i32::MAX.to_le_bytes())])),
        ("levels.faiss", with("hnsw.faiss", &[(37, huge)])),
        ("description.parquet", [&b"PAR1\x29\xfc\xff\xff\xff\xff\x0f\x07\0\0\0PAR1"[..]].concat()),
        ("nested.parquet", [b"PAR1", &[0x1c; 1 << 20][..], &(1u32 << 20).to_le_bytes(), b"PAR1"].concat()),
        ("rows.hnswlib", with("l2.hnswlib", &[(16, huge)])),
        ("links.hnswlib", with("l2.hnswlib", &[(64, huge)])),
        ("bytes.pkl", pickle(&[b"\x8e", huge, b"."].concat())),
        ("text.pkl", pickle(&[b"X", many, b"."].concat())),
        ("number.pkl", pickle(b"\x8b\xff\xff\xff\x7f.")),
        ("bomb.pkl", bomb),
        ("deep.pkl", deep),
        ("itself.pkl", itself),
        ("lists.pkl", [b"\x80\x04(".to_vec(), vec![b']'; 5 << 20], b"l.".to_vec()].concat()),
        ("line.jsonl.zst", packed),
        ("quote.csv", [b"id,text\na,\"".to_vec(), vec![b'x'; 4 << 20]].concat()),
        ("deep.jsonl", [b"{\"id\":\"a\",\"metadata\":".to_vec(), b"{\"a\":".repeat(100_000)].concat()),
    ];
    let home = Home::new();
    for (name, bytes) in cases {
        let file = home.at(name);
        fs::write(&file, &bytes).unwrap();
        let call =
            format!("ulimit -v 1000000; exec \"$0\" --quiet import '{file}' --into a --metric l2 --dry-run");
        let done = Command::new("sh").args(["-c", &call, env!("CARGO_BIN_EXE_nearfield")]).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{name}: {said}");
        assert!(said.starts_with("error: ") && !said.contains("panicked"), "{name}: {said}");
    }
}

#[test]
fn a_pickle_that_would_call_something_is_refused_at_its_byte() {
    let home = Home::new();
    for (code, why) in [
        (&b"cos\nsystem\n(S'id'\ntR."[..], "os.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "os.system"),
        (b"\x80\x02cbuiltins\neval\n.", "builtins.eval"),
        (b"\x80\x04cnumpy.core.multiarray\nscalar\n)R)\x81.", "instance of a class"),
        (b"(i__main__\nX\n.", "instance of a class"),
        (b"Ppersistent\n.", "not in the file"),
        (b"\x80\x04\x82\x01.", "not in the file"),
        (b"\x80\x04NNR.", "calls something that has no name"),
        (b"\x80\x04]Nb.", "gives a state"),
        (b"\x80\x04h\x05.", "nothing was remembered"),
        (b"\x80\x04a.", "takes a value where there is none"),
        (b"\x80\x04(0.", "takes a value where there is none"),
        (b"\x80\x04e.", "a mark that was not set"),
        (b"\x80\x09.", "protocol 9"),
        (b"\x80\x04N.N", "bytes follow the end"),
        (b"\xffN.", "no instruction"),
        (b"\x80\x04}(NNNu.", "a key without a value"),
    ] {
        let file = home.at("x.pkl");
        fs::write(&file, code).unwrap();
        let said = home.refused(&["import", &file, "--into", "a"]);
        assert!(said.contains(why) && said.contains("at byte"), "{code:?}: {said}");
    }
}
