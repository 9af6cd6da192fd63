//! From bytes to text: which encoding, and whether it is text at all.
//!
//! Order: a byte order mark is believed; then UTF-16 by its zeros; then UTF-8 if all of it is, which nothing else is by chance; then what a page
//! says of itself; else Windows-1252, which every byte is some letter of. Invariant: what comes out has no NUL, which no database stores.

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

/// Bytes looked at to tell text from other things.
const SAMPLE: usize = 8_192;

/// Why bytes are no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoText {
    Binary,
}

/// Bytes at the beginning of a page that may say how it is encoded: browsers look no further.
const SAID_WITHIN: usize = 1_024;

pub(super) fn decode(bytes: &[u8]) -> Result<String, NoText> {
    decode_as(bytes, None)
}

/// The same of a page, which may say itself how it is encoded.
pub(super) fn decode_page(bytes: &[u8]) -> Result<String, NoText> {
    decode_as(bytes, said(bytes))
}

fn decode_as(bytes: &[u8], said: Option<&'static Encoding>) -> Result<String, NoText> {
    let text = if let Some(rest) = bytes.strip_prefix(&[0xef, 0xbb, 0xbf]) {
        String::from_utf8_lossy(rest).into_owned()
    } else if let Some(rest) = bytes.strip_prefix(&[0xff, 0xfe]) {
        utf16(rest, u16::from_le_bytes)
    } else if let Some(rest) = bytes.strip_prefix(&[0xfe, 0xff]) {
        utf16(rest, u16::from_be_bytes)
    } else if let Some(read) = utf16_without_mark(bytes) {
        utf16(bytes, read)
    } else if is_binary(bytes) {
        return Err(NoText::Binary);
    } else {
        let encoding = match std::str::from_utf8(bytes) {
            // Some encodings are made of ASCII alone.
            Ok(text) if said.is_none() || !text.is_ascii() => UTF_8,
            _ => said.unwrap_or(WINDOWS_1252),
        };
        encoding.decode_without_bom_handling(bytes).0.into_owned()
    };
    Ok(if text.contains('\0') { text.replace('\0', "") } else { text })
}

fn utf16(bytes: &[u8], read: fn([u8; 2]) -> u16) -> String {
    let units = bytes.as_chunks::<2>().0.iter().map(|two| read(*two));
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// Text in a Latin script has zeros in every second byte, and nowhere else.
fn utf16_without_mark(bytes: &[u8]) -> Option<fn([u8; 2]) -> u16> {
    let (pairs, _) = bytes[..bytes.len().min(SAMPLE)].as_chunks::<2>();
    if pairs.len() < 4 || bytes.len() % 2 == 1 {
        return None;
    }
    let zeros = |at: usize| pairs.iter().filter(|pair| pair[at] == 0).count();
    let (first, second) = (zeros(0), zeros(1));
    if second * 10 >= pairs.len() * 8 && first == 0 {
        Some(u16::from_le_bytes)
    } else if first * 10 >= pairs.len() * 8 && second == 0 {
        Some(u16::from_be_bytes)
    } else {
        None
    }
}

/// A zero, or more than one control character in thirty.
fn is_binary(bytes: &[u8]) -> bool {
    let sample = &bytes[..bytes.len().min(SAMPLE)];
    let is_control = |byte: &u8| *byte < 0x20 && !b"\t\n\r\x0c\x1b\x08".contains(byte) || *byte == 0x7f;
    sample.contains(&0) || sample.iter().filter(|byte| is_control(byte)).count() * 30 > sample.len()
}

/// What a page says of itself: in a `meta` with `charset=`, in quotes or not, or in the declaration of XML. What cannot be true while
/// that is read byte by byte (UTF-16) stands for UTF-8, as in browsers.
fn said(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = bytes[..bytes.len().min(SAID_WITHIN)].to_ascii_lowercase();
    let xml = head.strip_prefix(b"<?xml").and_then(|rest| value(tag(rest), b"encoding"));
    let mut rest = head.as_slice();
    let mut meta = None;
    while let (None, Some(at)) = (meta, find(rest, b"<meta")) {
        rest = &rest[at + 5..];
        meta = value(tag(rest), b"charset");
    }
    Encoding::for_label_no_replacement(xml.or(meta)?).map(Encoding::output_encoding)
}

/// Up to the end of a tag.
fn tag(text: &[u8]) -> &[u8] {
    &text[..find(text, b">").unwrap_or(text.len())]
}

/// What stands behind `name` and an equals sign.
fn value<'t>(tag: &'t [u8], name: &[u8]) -> Option<&'t [u8]> {
    let after = tag[find(tag, name)? + name.len()..].trim_ascii_start().strip_prefix(b"=")?;
    let after = after.trim_ascii_start();
    let after = after.strip_prefix(b"\"").or_else(|| after.strip_prefix(b"'")).unwrap_or(after);
    let end = after.iter().position(|byte| b"\"' \t\r\n;/>?".contains(byte));
    Some(&after[..end.unwrap_or(after.len())])
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
