//! From bytes to text: which encoding, and whether it is text at all.
//!
//! Order: a byte order mark is believed; then UTF-16 by its zeros; then UTF-8 if all of it is; else Windows-1252, which every byte is
//! some letter of. Invariant: what comes out has no NUL, which no database stores.

/// Bytes looked at to tell text from other things.
const SAMPLE: usize = 8_192;

/// Why bytes are no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoText {
    Binary,
}

/// Letters of the bytes 0x80 to 0x9f; 0 for those that stand for nothing.
const WINDOWS_1252: [u16; 32] = [
    0x20ac, 0, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0,
    0x017d, 0, 0, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a,
    0x0153, 0, 0x017e, 0x0178,
];

pub(super) fn decode(bytes: &[u8]) -> Result<String, NoText> {
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
        match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().map(|byte| letter(*byte)).collect(),
        }
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

fn letter(byte: u8) -> char {
    match byte {
        0x80..=0x9f => char::from_u32(u32::from(WINDOWS_1252[usize::from(byte - 0x80)]))
            .filter(|c| *c != '\0')
            .unwrap_or(char::REPLACEMENT_CHARACTER),
        _ => char::from(byte),
    }
}
