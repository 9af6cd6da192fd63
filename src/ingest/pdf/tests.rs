//! PDF files, good, damaged and made to do harm: pages in order, or an error for that file alone.

use super::*;
use crate::ErrorKind;
use lopdf::content::{Content, Operation};
use lopdf::{Document, Object, Stream, dictionary};

/// A file with a line on each page, as a printer driver writes it.
pub(in crate::ingest) fn pdf(title: &str, pages: &[&str]) -> Vec<u8> {
    let mut document = Document::with_version("1.5");
    let tree = document.new_object_id();
    let font = document.add_object(dictionary! {
        "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Courier", "Encoding" => "WinAnsiEncoding",
    });
    let resources = document.add_object(dictionary! { "Font" => dictionary! { "F1" => font } });
    let kids: Vec<Object> = pages
        .iter()
        .map(|text| {
            let mut operations =
                vec![Operation::new("BT", vec![]), Operation::new("Tf", vec!["F1".into(), 12.into()])];
            for line in text.lines() {
                operations.push(Operation::new("Td", vec![0.into(), (-14).into()]));
                operations.push(Operation::new("Tj", vec![Object::string_literal(line)]));
            }
            operations.push(Operation::new("ET", vec![]));
            let content = Content { operations }.encode().unwrap();
            let content = document.add_object(Stream::new(dictionary! {}, content));
            document
                .add_object(dictionary! { "Type" => "Page", "Parent" => tree, "Contents" => content })
                .into()
        })
        .collect();
    let count = kids.len() as i64;
    let media = vec![0.into(), 0.into(), 595.into(), 842.into()];
    document.objects.insert(
        tree,
        Object::Dictionary(dictionary! {
            "Type" => "Pages", "Kids" => kids, "Count" => count, "Resources" => resources, "MediaBox" => media,
        }),
    );
    let catalog = document.add_object(dictionary! { "Type" => "Catalog", "Pages" => tree });
    let info = document.add_object(dictionary! { "Title" => Object::string_literal(title) });
    document.trailer.set("Root", catalog);
    document.trailer.set("Info", info);
    document.compress();
    let mut bytes = Vec::new();
    document.save_to(&mut bytes).unwrap();
    bytes
}

#[test]
fn pages_come_in_order_with_the_title() {
    let bytes = pdf("On  Stores", &["First page.\nSecond line.", "", "Third page."]);
    let read = read(bytes).unwrap();
    assert_eq!(read.title.as_deref(), Some("On Stores"));
    assert_eq!(read.pages.len(), 3);
    assert!(
        read.pages[0].contains("First page.") && read.pages[0].contains("Second line."),
        "{:?}",
        read.pages[0]
    );
    assert!(read.pages[1].trim().is_empty() && read.pages[2].contains("Third page."));
}

#[test]
fn a_damaged_file_is_an_error_or_less_text_and_never_the_end_of_the_host() {
    let good = pdf("T", &["Some text on a page.", "Some text on another."]);
    for cut in (0..good.len()).step_by(41) {
        let _ = read(good[..cut].to_vec());
    }
    for at in (0..good.len()).step_by(13) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x15;
        let _ = read(bytes);
    }
    for junk in [
        &b""[..],
        b"%PDF-",
        b"%PDF-1.7\nstartxref\n9\n%%EOF",
        b"%PDF-1.7\ntrailer<</Root 1 0 R>>\nstartxref\n9\n%%EOF",
    ] {
        assert_eq!(read(junk.to_vec()).unwrap_err().kind(), ErrorKind::Invalid);
    }
    assert_eq!(read(good).unwrap().pages.len(), 2);
}

/// A file of these objects, numbered from 1 on; the first is the catalog.
fn file(objects: &[String]) -> Vec<u8> {
    let mut bytes = b"%PDF-1.5\n".to_vec();
    let mut places = Vec::new();
    for (at, object) in objects.iter().enumerate() {
        places.push(bytes.len());
        bytes.extend(format!("{} 0 obj\n{object}\nendobj\n", at + 1).bytes());
    }
    let table = bytes.len();
    let n = objects.len() + 1;
    bytes.extend(format!("xref\n0 {n}\n0000000000 65535 f \n").bytes());
    places.iter().for_each(|at| bytes.extend(format!("{at:010} 00000 n \n").bytes()));
    bytes.extend(format!("trailer\n<</Size {n}/Root 1 0 R>>\nstartxref\n{table}\n%%EOF").bytes());
    bytes
}

#[test]
fn files_that_lead_round_in_circles_or_deep_down_end() {
    let catalog = "<</Type/Catalog/Pages 2 0 R>>".to_owned();
    let nested = |open: &str, close: &str| open.repeat(100_000) + &close.repeat(100_000);
    let chain: Vec<String> =
        (0..3_000).map(|at| format!("<</Type/Pages/Count 1/Kids[{} 0 R]>>", at + 3)).collect();
    for objects in [
        vec![catalog.clone(), "<</Type/Pages/Count 1/Kids[2 0 R]>>".to_owned()],
        vec![
            catalog.clone(),
            "<</Type/Pages/Count 9/Kids[3 0 R 3 0 R]>>".into(),
            "<</Type/Pages/Count 9/Kids[2 0 R 2 0 R]>>".into(),
        ],
        vec![catalog.clone(), "2 0 R".into()],
        vec![catalog.clone(), nested("[", "]")],
        vec![catalog.clone(), nested("<</A", ">>")],
        vec![catalog.clone(), nested("(", ")")],
        vec![
            catalog.clone(),
            "<</Type/Pages/Count 1/Kids[3 0 R]>>".into(),
            "<</Type/Page/Parent 3 0 R/Contents 3 0 R/Resources 3 0 R>>".into(),
        ],
        [vec![catalog], chain].concat(),
    ] {
        let bytes = file(&objects);
        if let Ok(pages) = read(bytes) {
            assert!(pages.pages.iter().all(|page| page.trim().is_empty() || page.len() < 1_000));
        }
    }
}

#[test]
fn a_small_file_that_unpacks_to_much_is_bounded() {
    let mut document = Document::load_mem(&pdf("T", &["x", "good"])).unwrap();
    let page = document.get_pages()[&1];
    let mut bomb = Stream::new(dictionary! {}, vec![b' '; UNPACKED_BYTES_MAX + (1 << 20)]);
    bomb.compress().unwrap();
    let id = document.add_object(bomb);
    document.get_object_mut(page).unwrap().as_dict_mut().unwrap().set("Contents", id);
    let mut bytes = Vec::new();
    document.save_to(&mut bytes).unwrap();
    assert!(bytes.len() < 1 << 20);
    let read = read(bytes).unwrap();
    assert!(read.pages[0].is_empty() && read.pages[1].contains("good"), "the other pages stay");
}

#[test]
fn a_reader_that_is_late_is_left_behind_and_makes_room_when_it_ends() {
    let pages: Vec<String> = (0..200).map(|at| format!("page {at} ").repeat(50)).collect();
    let bytes = pdf("T", &pages.iter().map(String::as_str).collect::<Vec<_>>());
    for _ in 0..3 * LATE_MAX {
        let error = read_within(bytes.clone(), Duration::ZERO).unwrap_err();
        assert!([ErrorKind::Invalid, ErrorKind::Unavailable].contains(&error.kind()), "{error}");
    }
    let until = Instant::now() + Duration::from_secs(60);
    while LATE.load(Ordering::SeqCst) > 0 {
        assert!(Instant::now() < until, "readers do not end");
        std::thread::yield_now();
    }
    assert_eq!(read(bytes).unwrap().pages.len(), 200);
}
