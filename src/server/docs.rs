//! `/docs`: the description as a page to be read, without anything from elsewhere.
//!
//! Invariant: the page runs the one script and uses the one style that stand in it, and calls nobody but this server: its
//! policy names both by their digests.

use super::call::Answer;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

const PAGE: &str = include_str!("docs.html");

/// The page's policy.
pub(crate) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let digest = |tag: &str| {
        let inside =
            PAGE.split_once(&format!("<{tag}>")).and_then(|(_, rest)| rest.split_once(&format!("</{tag}>")));
        let text = inside.map_or("", |(text, _)| text);
        format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)))
    };
    format!(
        "default-src 'none'; connect-src 'self'; script-src {}; style-src {}; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        digest("script"),
        digest("style")
    )
});

pub(crate) fn page() -> Answer {
    Answer { policy: Some(&POLICY), ..Answer::text("text/html; charset=utf-8", PAGE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        assert!(POLICY.matches("'sha256-").count() == 2 && !POLICY.contains("unsafe"), "{}", *POLICY);
        for strange in ["http://", "https://", "src=", "@import", "style=", "onclick", "innerHTML"] {
            assert!(!PAGE.contains(strange), "{strange}");
        }
    }
}
