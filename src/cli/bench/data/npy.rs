//! The `.npy` format of NumPy, versions 1 to 3: two-dimensional C-order arrays of little-endian f2, f4, i4, i8.
//!
//! Layout: magic, version, length of the header, the header (a Python dictionary as text), the values. The sizes that the
//! header claims must add up to the size of the file exactly.

use super::{Matrix, Neighbours, Parsed, fill, room, row_number};
use half::f16;
use std::io::Read;

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// NumPy writes some 120 bytes, and refuses more than 10,000 itself.
const HEADER_BYTES_MAX: u64 = 1 << 16;
/// A multiple of every item size.
const BUFFER_BYTES: usize = 1 << 16;

/// Reads vectors of a file that has `file_bytes` bytes.
pub(super) fn floats(input: &mut dyn Read, file_bytes: u64) -> Parsed<Matrix> {
    let header = Header::read(input, file_bytes)?;
    let values = match header.descr.as_str() {
        "<f4" => header.values(input, |b| Ok(f32::from_le_bytes(b)))?,
        "<f2" => header.values(input, |b| Ok(f16::from_le_bytes(b).to_f32()))?,
        _ => return Err(header.unsupported("vectors", "<f4 and <f2", "float32")),
    };
    Ok(Matrix { dim: header.columns, values })
}

/// Reads row numbers of a file that has `file_bytes` bytes.
pub(super) fn integers(input: &mut dyn Read, file_bytes: u64) -> Parsed<Neighbours> {
    let header = Header::read(input, file_bytes)?;
    let rows = match header.descr.as_str() {
        "<i4" => header.values(input, |b| row_number(i64::from(i32::from_le_bytes(b))))?,
        "<i8" => header.values(input, |b| row_number(i64::from_le_bytes(b)))?,
        _ => return Err(header.unsupported("row numbers", "<i4 and <i8", "int32")),
    };
    Ok(Neighbours { width: header.columns, rows })
}

#[derive(Debug)]
struct Header {
    descr: String,
    rows: usize,
    columns: usize,
    data_bytes: u64,
}

impl Header {
    fn read(input: &mut dyn Read, file_bytes: u64) -> Parsed<Self> {
        let short = |_| format!("{file_bytes} bytes are too few for a .npy file");
        let mut start = [0; 8];
        fill(input, &mut start).map_err(short)?;
        if start[..6] != MAGIC[..] {
            return Err("not a .npy file: it does not begin with \\x93NUMPY".to_owned());
        }
        let (length, before) = match start[6] {
            1 => (u64::from(u16::from_le_bytes(take(input).map_err(short)?)), 10),
            2 | 3 => (u64::from(u32::from_le_bytes(take(input).map_err(short)?)), 12),
            other => return Err(format!(".npy version {other}; versions 1, 2 and 3 are read")),
        };
        let rest = file_bytes.saturating_sub(before);
        if length > rest.min(HEADER_BYTES_MAX) {
            return Err(format!(
                "claims a header of {length} bytes; {rest} follow, and {HEADER_BYTES_MAX} is the limit"
            ));
        }
        let mut text = vec![0; length as usize];
        fill(input, &mut text)?;
        let text = std::str::from_utf8(&text).map_err(|_| "its header is not text".to_owned())?;
        let header = Literal { rest: text }.header(rest - length)?;
        Ok(header)
    }

    /// Decodes all values, a buffer at a time.
    fn values<T, const N: usize>(
        &self,
        input: &mut dyn Read,
        decode: impl Fn([u8; N]) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        let found = self.data_bytes;
        let product = (self.rows as u64).checked_mul(self.columns as u64);
        let Some(count) = product.filter(|c| c.checked_mul(N as u64) == Some(found)) else {
            let shape = format!("({}, {}) of {}", self.rows, self.columns, self.descr);
            return Err(format!(
                "claims the shape {shape}, which does not fill its {found} bytes of data exactly"
            ));
        };
        let mut values = room(count as usize)?;
        let mut buffer = [0; BUFFER_BYTES];
        while values.len() < count as usize {
            let part = &mut buffer[..((count as usize - values.len()) * N).min(BUFFER_BYTES)];
            fill(input, part)?;
            for bytes in part.as_chunks::<N>().0 {
                values.push(decode(*bytes)?);
            }
        }
        Ok(values)
    }

    fn unsupported(&self, what: &str, supported: &str, suggestion: &str) -> String {
        let descr = &self.descr;
        format!(
            "holds values of type '{descr}'; {what} are read from {supported}: save it with .astype('{suggestion}')"
        )
    }
}

fn take<const N: usize>(input: &mut dyn Read) -> Parsed<[u8; N]> {
    let mut bytes = [0; N];
    fill(input, &mut bytes)?;
    Ok(bytes)
}

/// The few Python literals that a header is made of.
struct Literal<'a> {
    rest: &'a str,
}

impl<'a> Literal<'a> {
    /// `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`, the keys in any order.
    fn header(mut self, data_bytes: u64) -> Parsed<Header> {
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        self.expect('{')?;
        while !self.next_is('}') {
            let key = self.string()?;
            self.expect(':')?;
            let fresh = match key {
                "descr" => descr.replace(self.string()?).is_none(),
                "fortran_order" => fortran.replace(self.boolean()?).is_none(),
                "shape" => shape.replace(self.shape()?).is_none(),
                _ => return Err(format!("its header has the unknown key '{key}'")),
            };
            if !fresh {
                return Err(format!("its header has the key '{key}' twice"));
            }
            if !self.next_is(',') {
                self.expect('}')?;
                break;
            }
        }
        if !self.rest.trim().is_empty() {
            return Err("its header goes on after the dictionary".to_owned());
        }
        let (Some(descr), Some(fortran), Some(shape)) = (descr, fortran, shape) else {
            return Err("its header lacks one of descr, fortran_order, shape".to_owned());
        };
        if fortran {
            return Err(
                "is in Fortran order; C order is read: save it with numpy.ascontiguousarray".to_owned()
            );
        }
        match shape[..] {
            [rows, columns] if rows > 0 && columns > 0 => {
                Ok(Header { descr: descr.to_owned(), rows, columns, data_bytes })
            }
            _ => Err(format!("has the shape {shape:?}; two dimensions, neither of them 0, are read")),
        }
    }

    fn next_is(&mut self, c: char) -> bool {
        match self.rest.trim_start().strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, c: char) -> Parsed<()> {
        if self.next_is(c) { Ok(()) } else { Err(self.surprise(&format!("`{c}`"))) }
    }

    fn string(&mut self) -> Parsed<&'a str> {
        let rest = self.rest.trim_start();
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'));
        let parts = quote.and_then(|q| rest[1..].split_once(q));
        let (string, rest) =
            parts.ok_or_else(|| self.surprise("a string (structured types are not read)"))?;
        self.rest = rest;
        Ok(string)
    }

    fn boolean(&mut self) -> Parsed<bool> {
        let rest = self.rest.trim_start();
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = rest.strip_prefix(word) {
                self.rest = rest;
                return Ok(value);
            }
        }
        Err(self.surprise("True or False"))
    }

    fn shape(&mut self) -> Parsed<Vec<usize>> {
        let mut shape = Vec::new();
        self.expect('(')?;
        while !self.next_is(')') {
            let rest = self.rest.trim_start();
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            shape.push(
                rest[..digits].parse().map_err(|_| self.surprise("a whole number of at most 64 bits"))?,
            );
            self.rest = &rest[digits..];
            if !self.next_is(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(shape)
    }

    fn surprise(&self, wanted: &str) -> String {
        let found: String = self.rest.trim_start().chars().take(24).collect();
        format!("its header has `{}` where {wanted} should be", found.escape_debug())
    }
}
