//! What is read of bytes: encodings, kinds, pages of HTML.

use crate::ingest::decode::{NoText, decode, decode_page};
use crate::ingest::html::{Page, read};
use crate::ingest::{Chunking, Content, Kind};
use crate::{ErrorKind, Result};

fn html(text: &str) -> String {
    read(text).text
}

#[test]
fn every_common_encoding_is_read() {
    let text = "Caf\u{e9} \u{2014} na\u{ef}ve text, long enough";
    let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let be: Vec<u8> = le.as_chunks::<2>().0.iter().flat_map(|two| [two[1], two[0]]).collect();
    let marked = |mark: &[u8], bytes: &[u8]| [mark, bytes].concat();
    for bytes in [
        text.as_bytes().to_vec(),
        marked(&[0xef, 0xbb, 0xbf], text.as_bytes()),
        marked(&[0xff, 0xfe], &le),
        marked(&[0xfe, 0xff], &be),
        le,
        be,
        b"Caf\xe9 \x97 na\xefve text, long enough".to_vec(),
    ] {
        assert_eq!(decode(&bytes).unwrap(), text, "{bytes:x?}");
    }
    assert_eq!(decode(b"").unwrap(), "");
    assert_eq!(decode(&[0xff, 0xfe, 0x00]).unwrap(), "");
    assert_eq!(decode(&[0xff, 0xfe, 0x00, 0xd8, 0x41, 0x00]).unwrap(), "\u{fffd}A", "half a letter");
    assert_eq!(decode(&[0xff, 0xfe, 0x00, 0x00, 0x41, 0x00]).unwrap(), "A", "no database stores a NUL");
}

#[test]
fn a_page_is_read_in_the_encoding_that_it_names() {
    let page = |head: &str, body: &[u8]| [head.as_bytes(), b"<p>", body].concat();
    let read = |head: &str, body: &[u8]| {
        let text = decode_page(&page(head, body)).unwrap();
        text[text.find("<p>").unwrap() + 3..].to_owned()
    };
    for (head, body, text) in [
        ("<meta charset=Shift_JIS>", b"\x93\xfa\x96{\x8c\xea".as_slice(), "\u{65e5}\u{672c}\u{8a9e}"),
        ("<META CHARSET = 'euc-kr' />", b"\xc7\xd1\xb1\xdb", "\u{d55c}\u{ae00}"),
        (
            "<meta name=a><meta http-equiv=\"Content-Type\" content=\"text/html; charset=koi8-r\">",
            b"\xcd\xc9\xd2",
            "\u{43c}\u{438}\u{440}",
        ),
        ("<?xml version=\"1.0\" encoding=\"ISO-8859-2\"?><html>", b"\xb3\xf3d\xbc", "\u{142}\u{f3}d\u{17a}"),
        ("<meta charset=iso-2022-jp>", b"\x1b$BF|\x1b(B", "\u{65e5}"),
        ("<meta charset=gb18030>", b"\xc4\xe3", "\u{4f60}"),
        // Nothing, nonsense, and what it cannot be.
        ("<meta charset>", b"\xe9", "\u{e9}"),
        ("<meta charset=nonsense>", b"\xe9", "\u{e9}"),
        ("<meta charset=iso-2022-kr>", b"\xe9", "\u{e9}"),
        ("<meta charset=utf-16>", b"plain", "plain"),
        ("<meta charset=latin1>", "it is \u{e9} all the same".as_bytes(), "it is \u{e9} all the same"),
        ("<a charset=koi8-r>", b"\xe9", "\u{e9}"),
    ] {
        assert_eq!(read(head, body), text, "{head}");
    }
    let late = format!("{}<meta charset=koi8-r>", " ".repeat(1_024));
    assert_eq!(read(&late, b"\xcd"), "\u{cd}", "no browser looks that far");
    assert_eq!(
        decode(&page("<meta charset=koi8-r>", b"\xcd")).unwrap().pop(),
        Some('\u{cd}'),
        "it is no page"
    );
    let file = Content::file("page.html", page("<meta charset=koi8-r>", b"\xcd\xc9\xd2"));
    assert_eq!(file.extract(&Chunking::default()).unwrap().text.trim(), "\u{43c}\u{438}\u{440}");
}

#[test]
fn what_is_no_text_is_told() {
    let png = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR";
    assert_eq!(decode(png), Err(NoText::Binary));
    assert_eq!(decode(&(0..=255).collect::<Vec<u8>>()), Err(NoText::Binary));
    let error = Content::file("a.txt", png.to_vec()).extract(&Chunking::default()).unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid && error.message().contains("binary"), "{error}");
}

#[test]
fn names_and_first_bytes_tell_the_kind() {
    for (name, bytes, kind) in [
        ("a/README.md", "x", Kind::Markdown),
        ("README", "x", Kind::Text),
        ("Makefile", "x", Kind::Code),
        ("a.RS", "x", Kind::Code),
        ("a.htm", "x", Kind::Html),
        ("unknown.xyz", "\n <!DOCTYPE html><p>x", Kind::Html),
        ("unknown.xyz", "plain", Kind::Text),
        ("no.pdf", "plain", Kind::Text),
        ("paper", "%PDF-1.7 ...", Kind::Pdf),
    ] {
        assert_eq!(Kind::of(name, bytes.as_bytes()), kind, "{name}");
    }
    assert_eq!(Kind::of_name("picture.png"), None);
}

#[test]
fn a_page_becomes_the_markdown_that_says_the_same() {
    let page = read(
        "<!doctype html><html><head><title> The\n title &amp; more</title><style>p { color: red }</style>\
         <script>if (a < b) document.write('<p>no</p>')</script></head><body><h1 class=\"a>b\">Top</h1>\
         <p>One <b>bold</b>\n   word.</p><!-- <p>hidden</p> --><p>Two&nbsp;&lt;three&gt; &#233;&#x4e2d; &unknown; 1 < 2 &amp;amp;<br>next</p>\
         <ul><li>first</li><li>second</li></ul><h2>Deep</h2><pre>let a = 1;\n  b &lt; c</pre><table><tr><td>x</td><td>y</td></tr></table></body></html>",
    );
    assert_eq!(page.title.as_deref(), Some("The title & more"));
    assert_eq!(
        page.text,
        "# Top\n\nOne bold word.\n\nTwo <three> \u{e9}\u{4e2d} &unknown; 1 < 2 &amp;\nnext\n\n- first\n- second\n\n## Deep\n\n\
         ```\nlet a = 1;\n  b < c\n```\n\nx y"
    );
    assert_eq!(html("<p># no heading"), "\\# no heading");
    assert_eq!(html("a<b>c</b>d"), "acd", "tags in a word do not cut it");
}

#[test]
fn a_broken_page_is_read_as_far_as_it_goes() {
    for (page, text) in [
        ("", ""),
        ("<", "<"),
        ("a <", "a <"),
        ("<p", ""),
        ("<p>a</p", "a"),
        ("a<!-- b", "a"),
        ("a<script>b", "a"),
        ("a<SCRIPT>b</ScRiPt >c", "ac"),
        ("a<script>b</scrip c", "a"),
        ("<p title='>x", ""),
        ("<p it's>ok", "ok"),
        ("<pre>a", "```\na\n```"),
        ("</pre>a</pre>", "a"),
        ("&#0;&#1114112;&#xd800;", "\u{fffd}\u{fffd}\u{fffd}"),
        ("&;&#;&#x;&amp", "&;&#;&#x;&amp"),
        ("<1> <-", "<1> <-"),
        ("\u{e9}<\u{e9}>&\u{e9};", "\u{e9}<\u{e9}>&\u{e9};"),
        ("<title>t", ""),
    ] {
        assert_eq!(html(page), text, "{page:?}");
    }
    assert_eq!(read("<title>t"), Page { text: String::new(), title: Some("t".into()) });
    // Nothing is nested here, so nothing recurses; nothing is looked for twice, so this ends.
    for part in ["<div>", "<script", "<", "&", "<!--", "<p a=\"", "</", "<script></"] {
        let _ = html(&part.repeat(200_000));
    }
}

fn extracted(name: &str, bytes: &[u8]) -> Result<Vec<String>> {
    let read = Content::file(name, bytes.to_vec()).extract(&Chunking { tokens: 64, overlap: 8 })?;
    Ok(read.pieces.into_iter().map(|piece| read.text[piece.range].to_owned()).collect())
}

#[test]
fn no_bytes_whatever_their_name_make_the_reader_panic() {
    use proptest::prelude::*;
    let names = prop::sample::select(vec!["a.md", "a.html", "a.rs", "a.txt", "a"]);
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..400),
        "[#`~<>/&;a-z\n .!?\u{e9}\u{4e2d}-]{0,400}".prop_map(String::into_bytes),
    ];
    proptest!(|(name in names, bytes in bytes)| { let _ = extracted(name, &bytes); });
}
