//! Lines of text, one at a time, from plain files and from those that zstd has packed.
//!
//! Invariant: memory is that of one line, whatever the file holds: a line has a limit, and so has the window of zstd.

use super::input::{Parsed, bad, regular};
use crate::error::Result;
use crate::limits::{DIM_MAX, METADATA_BYTES_MAX, TEXT_BYTES_MAX};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// The longest chunk there can be: each byte of its texts escaped, each value of its vector with all its digits.
pub(crate) const LINE_BYTES_MAX: usize = 6 * (TEXT_BYTES_MAX + METADATA_BYTES_MAX) + 32 * DIM_MAX + (1 << 16);
/// What a zstd file may ask for: its own tool unpacks no more unless it is told to.
const WINDOW_LOG_MAX: u32 = 27;
const BOM: &[u8] = b"\xef\xbb\xbf";
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A file of lines.
pub(crate) struct Lines {
    input: Box<dyn BufRead + Send>,
    /// Of the line that was read last, counted from 1.
    number: u64,
    line: Vec<u8>,
}

impl Lines {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let (file, _) = regular(path)?;
        Self::of(Box::new(BufReader::with_capacity(1 << 18, file))).map_err(|what| bad(path, what))
    }

    /// Of any text; what begins as zstd does is unpacked.
    pub(crate) fn of(mut input: Box<dyn BufRead + Send>) -> Parsed<Self> {
        let start = input.fill_buf().map_err(|e| format!("at its beginning: {e}"))?;
        if start.starts_with(&ZSTD_MAGIC) {
            let mut decoder = zstd::Decoder::with_buffer(input).map_err(|e| format!("as zstd: {e}"))?;
            decoder.window_log_max(WINDOW_LOG_MAX).map_err(|e| format!("as zstd: {e}"))?;
            input = Box::new(BufReader::with_capacity(1 << 18, decoder));
        }
        Ok(Self { input, number: 0, line: Vec::new() })
    }

    /// Of the line that was read last.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The next line without its end; `None` after the last.
    pub(crate) fn next(&mut self) -> Parsed<Option<&[u8]>> {
        self.line.clear();
        let number = self.number + 1;
        let n = (self.input.by_ref())
            .take(LINE_BYTES_MAX as u64 + 1)
            .read_until(b'\n', &mut self.line)
            .map_err(|e| format!("line {number}: {e}"))?;
        if n == 0 {
            return Ok(None);
        }
        self.number = number;
        if n > LINE_BYTES_MAX {
            return Err(format!(
                "line {number} is longer than {LINE_BYTES_MAX} bytes: is this a file of lines?"
            ));
        }
        while self.line.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
            self.line.pop();
        }
        // Some editors begin a file with a mark.
        let text = if number == 1 { self.line.strip_prefix(BOM) } else { None };
        Ok(Some(text.unwrap_or(&self.line)))
    }

    /// The same for who wants nothing but text.
    pub(crate) fn next_text(&mut self) -> Parsed<Option<&str>> {
        let number = self.number + 1;
        let Some(line) = self.next()? else { return Ok(None) };
        let text = std::str::from_utf8(line);
        text.map(Some).map_err(|e| format!("line {number} is not UTF-8 from its byte {} on", e.valid_up_to()))
    }
}
