//! The binary form of COPY, and of pgvector's vectors: what rows look like on the wire.
//!
//! Layout: an 11-byte signature, flags, the length of an extension; for each row an `i16` count of fields and for each field an
//! `i32` length (-1: NULL) and its bytes; -1 instead of a count at the end. A vector is `u16` dimensions, `u16` zero and
//! one `f32` for each. All big-endian.
//!
//! Invariant: reading never panics and never takes more memory than what came, whatever it is.
#![allow(clippy::big_endian_bytes, reason = "the wire is big-endian")]

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
const HEADER_BYTES: usize = SIGNATURE.len() + 8;
/// Bytes of a row that is not all there yet, at most: whatever is longer was not written by us.
const ROW_BYTES_MAX: usize = 256 << 20;
/// jsonb on the wire: a version, then text.
const JSONB_VERSION: u8 = 1;

/// Rows on their way in.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    out: Vec<u8>,
}

impl Encoder {
    pub(super) fn header(&mut self) {
        self.out.extend(SIGNATURE);
        self.out.extend([0; 8]);
    }

    pub(super) fn row(&mut self, fields: i16) {
        self.out.extend(fields.to_be_bytes());
    }

    pub(super) fn trailer(&mut self) {
        self.out.extend((-1_i16).to_be_bytes());
    }

    pub(super) fn null(&mut self) {
        self.out.extend((-1_i32).to_be_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.len(bytes.len());
        self.out.extend(bytes);
    }

    pub(super) fn text(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.bytes(text.as_bytes()),
            None => self.null(),
        }
    }

    pub(super) fn json(&mut self, text: &str) {
        self.len(text.len() + 1);
        self.out.push(JSONB_VERSION);
        self.out.extend(text.as_bytes());
    }

    pub(super) fn i64(&mut self, value: i64) {
        self.bytes(&value.to_be_bytes());
    }

    pub(super) fn i32(&mut self, value: i32) {
        self.bytes(&value.to_be_bytes());
    }

    pub(super) fn bool(&mut self, value: bool) {
        self.bytes(&[u8::from(value)]);
    }

    pub(super) fn vector(&mut self, vector: Option<&[f32]>) {
        let Some(vector) = vector else { return self.null() };
        self.len(4 + vector.len() * 4);
        self.out.extend((vector.len() as u16).to_be_bytes());
        self.out.extend([0; 2]);
        let at = self.out.len();
        self.out.resize(at + vector.len() * 4, 0);
        for (out, x) in self.out[at..].as_chunks_mut::<4>().0.iter_mut().zip(vector) {
            *out = x.to_be_bytes();
        }
    }

    pub(super) fn pending(&self) -> &[u8] {
        &self.out
    }

    pub(super) fn clear(&mut self) {
        self.out.clear();
    }

    /// No field is longer than `limits` allow, so every length fits.
    fn len(&mut self, len: usize) {
        self.out.extend((len as i32).to_be_bytes());
    }
}

/// What came was no COPY of `N` columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// The fields of one row; `None` is NULL.
pub(super) type Fields<'a, const N: usize> = [Option<&'a [u8]>; N];

/// Rows on their way out, in pieces cut anywhere.
#[derive(Debug, Default)]
pub(super) struct Decoder<const N: usize> {
    /// The beginning of a row whose end has not come.
    rest: Vec<u8>,
    has_begun: bool,
    has_ended: bool,
}

impl<const N: usize> Decoder<N> {
    /// Hands every row that is complete with `piece` to `each`.
    pub(super) fn read(&mut self, piece: &[u8], mut each: impl FnMut(&Fields<'_, N>)) -> Result<(), Broken> {
        if self.rest.is_empty() {
            // Nearly always: the server sends whole rows.
            let used = self.rows(piece, &mut each)?;
            self.rest.extend(&piece[used..]);
        } else {
            let mut rest = std::mem::take(&mut self.rest);
            rest.extend(piece);
            let used = self.rows(&rest, &mut each)?;
            rest.drain(..used);
            self.rest = rest;
        }
        if self.rest.len() > ROW_BYTES_MAX { Err(Broken) } else { Ok(()) }
    }

    /// Whether the end was reached, and nothing after it.
    pub(super) fn is_complete(&self) -> bool {
        self.has_ended && self.rest.is_empty()
    }

    /// How many bytes were used up.
    fn rows(&mut self, bytes: &[u8], each: &mut impl FnMut(&Fields<'_, N>)) -> Result<usize, Broken> {
        let mut rest = bytes;
        if !self.has_begun {
            let Some(after) = skip_header(bytes)? else { return Ok(0) };
            rest = after;
            self.has_begun = true;
        }
        while !rest.is_empty() {
            if self.has_ended {
                return Err(Broken);
            }
            match row(rest)? {
                Step::Row(fields, after) => {
                    each(&fields);
                    rest = after;
                }
                Step::End(after) => {
                    self.has_ended = true;
                    rest = after;
                }
                Step::Short => break,
            }
        }
        Ok(bytes.len() - rest.len())
    }
}

enum Step<'a, const N: usize> {
    Row(Fields<'a, N>, &'a [u8]),
    End(&'a [u8]),
    /// Its end has not come yet.
    Short,
}

fn skip_header(bytes: &[u8]) -> Result<Option<&[u8]>, Broken> {
    let known = bytes.len().min(SIGNATURE.len());
    if bytes[..known] != SIGNATURE[..known] {
        return Err(Broken);
    }
    let Some((header, after)) = bytes.split_at_checked(HEADER_BYTES) else { return Ok(None) };
    // Flags say that the format is another one; an extension would say more than we know.
    if header[SIGNATURE.len()..].iter().any(|&b| b != 0) {
        return Err(Broken);
    }
    Ok(Some(after))
}

fn row<const N: usize>(bytes: &[u8]) -> Result<Step<'_, N>, Broken> {
    let Some((count, mut rest)) = bytes.split_first_chunk::<2>() else { return Ok(Step::Short) };
    match i16::from_be_bytes(*count) {
        -1 => return Ok(Step::End(rest)),
        count if usize::try_from(count) == Ok(N) => {}
        _ => return Err(Broken),
    }
    let mut fields = [None; N];
    for field in &mut fields {
        let Some((len, after)) = rest.split_first_chunk::<4>() else { return Ok(Step::Short) };
        rest = after;
        let len = i32::from_be_bytes(*len);
        if len == -1 {
            continue;
        }
        let len = usize::try_from(len).map_err(|_| Broken)?;
        if len > ROW_BYTES_MAX {
            return Err(Broken);
        }
        let Some((value, after)) = rest.split_at_checked(len) else { return Ok(Step::Short) };
        *field = Some(value);
        rest = after;
    }
    Ok(Step::Row(fields, rest))
}

pub(super) fn i64_of(bytes: &[u8]) -> Option<i64> {
    Some(i64::from_be_bytes(bytes.try_into().ok()?))
}

pub(super) fn i32_of(bytes: &[u8]) -> Option<i32> {
    Some(i32::from_be_bytes(bytes.try_into().ok()?))
}

pub(super) fn bool_of(bytes: &[u8]) -> Option<bool> {
    match bytes {
        [0] => Some(false),
        [1] => Some(true),
        _ => None,
    }
}

/// The elements of a vector, bit for bit.
pub(super) fn vector_of(bytes: &[u8]) -> Option<Vec<f32>> {
    let (head, elements) = bytes.split_first_chunk::<4>()?;
    let [a, b, 0, 0] = *head else { return None };
    let (elements, rest) = elements.as_chunks::<4>();
    let is_whole = rest.is_empty() && elements.len() == usize::from(u16::from_be_bytes([a, b]));
    is_whole.then(|| elements.iter().map(|x| f32::from_be_bytes(*x)).collect())
}
