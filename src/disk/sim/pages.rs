//! The bytes of a simulated file, in pages that copies share until one of them writes.
//!
//! Invariants: there are as many pages as the length needs; `None` is a page of zeros; bytes beyond the length are zero.

use std::sync::Arc;

const PAGE: usize = 4096;

#[derive(Clone, Default)]
pub(super) struct Pages {
    len: u64,
    pages: Vec<Option<Arc<[u8; PAGE]>>>,
}

impl Pages {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn set_len(&mut self, len: u64) {
        let rest = (len % PAGE as u64) as usize;
        if len < self.len
            && rest > 0
            && let Some(page) = &mut self.pages[(len / PAGE as u64) as usize]
        {
            Arc::make_mut(page)[rest..].fill(0);
        }
        self.pages.resize(len.div_ceil(PAGE as u64) as usize, None);
        self.len = len;
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        // As in a real file: a write of nothing does not extend it.
        if end > self.len && !bytes.is_empty() {
            self.set_len(end);
        }
        let (mut at, mut bytes) = (offset, bytes);
        while !bytes.is_empty() {
            let (page, start) = ((at / PAGE as u64) as usize, (at % PAGE as u64) as usize);
            let n = bytes.len().min(PAGE - start);
            let page = self.pages[page].get_or_insert_with(|| Arc::new([0; PAGE]));
            Arc::make_mut(page)[start..start + n].copy_from_slice(&bytes[..n]);
            (at, bytes) = (at + n as u64, &bytes[n..]);
        }
    }

    /// Fewer than `len` bytes only at the end.
    pub(super) fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let len = len.min(usize::try_from(self.len.saturating_sub(offset)).unwrap_or(len));
        let mut bytes = vec![0; len];
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let (page, start) = ((at / PAGE as u64) as usize, (at % PAGE as u64) as usize);
            let n = (len - done).min(PAGE - start);
            if let Some(page) = &self.pages[page] {
                bytes[done..done + n].copy_from_slice(&page[start..start + n]);
            }
            done += n;
        }
        bytes
    }

    pub(super) fn all(&self) -> Vec<u8> {
        self.read(0, self.len as usize)
    }
}
