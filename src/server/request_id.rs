//! A name for each request, in its answer and in the log; and names for chunks and jobs that came without one.

use super::time::unix_ms;
use axum::http::HeaderValue;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a caller's id that is taken over.
const BYTES_MAX: usize = 64;

/// The request's id: the caller's, if it is a sane one.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    pub(crate) fn new() -> Self {
        // Hexadecimal digits always are a header's value.
        Self(HeaderValue::from_str(&format!("{:016x}", random())).unwrap_or(HeaderValue::from_static("0")))
    }

    pub(crate) fn of(given: Option<&HeaderValue>) -> Self {
        let is_sane = |value: &&HeaderValue| {
            let bytes = value.as_bytes();
            (1..=BYTES_MAX).contains(&bytes.len())
                && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
        };
        given.filter(is_sane).map_or_else(Self::new, |value| Self(value.clone()))
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// A UUID of version 7: names made later sort later, to the millisecond.
pub(crate) fn uuid_v7() -> String {
    let (ms, high, low) = (unix_ms() & 0xffff_ffff_ffff, random() & 0xfff, random());
    format!(
        "{:08x}-{:04x}-7{high:03x}-{:04x}-{:012x}",
        ms >> 16,
        ms & 0xffff,
        low >> 48 & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
}

/// The standard library seeds its hashers from the system's source of randomness; each number is another one's hash.
pub(crate) fn random() -> u64 {
    static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static NEXT: AtomicU64 = AtomicU64::new(0);
    SEED.hash_one(NEXT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_sane_id_is_kept_and_any_other_is_replaced() {
        let of = |bytes: &[u8]| RequestId::of(HeaderValue::from_bytes(bytes).ok().as_ref());
        assert_eq!(of(b"abc-1.2_3").as_str(), "abc-1.2_3");
        for strange in [&b""[..], b"a b", b"<script>", &[0xff, 0xfe], &[b'a'; 65]] {
            let id = of(strange);
            assert!(id.as_str().len() == 16 && id.as_str().bytes().all(|b| b.is_ascii_hexdigit()));
        }
        assert_ne!(RequestId::new().as_str(), RequestId::new().as_str());
    }

    #[test]
    fn a_uuid_has_its_form_and_is_one_of_its_kind() {
        let made: BTreeSet<String> = (0..1_000).map(|_| uuid_v7()).collect();
        assert_eq!(made.len(), 1_000);
        for uuid in made {
            let parts: Vec<usize> = uuid.split('-').map(str::len).collect();
            assert_eq!(parts, [8, 4, 4, 4, 12], "{uuid}");
            assert!(uuid.as_bytes()[14] == b'7' && b"89ab".contains(&uuid.as_bytes()[19]), "{uuid}");
        }
    }
}
