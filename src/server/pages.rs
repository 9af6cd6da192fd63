//! Pages to be read: `/` shows the store and operates it, `/docs` describes the interface. Nothing in them comes from elsewhere.
//!
//! Invariant: a page runs the one script and uses the one style that stand in it, and calls nobody but this server: its
//! policy names both by their digests.

use super::call::Answer;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

const DOCS: &str = include_str!("docs.html");
const DASHBOARD: &str = include_str!("dashboard.html");

/// What the pages may do.
static DOCS_POLICY: LazyLock<String> = LazyLock::new(|| policy(DOCS));
static DASHBOARD_POLICY: LazyLock<String> = LazyLock::new(|| policy(DASHBOARD));

fn policy(page: &str) -> String {
    let digest = |tag: &str| {
        let inside =
            page.split_once(&format!("<{tag}>")).and_then(|(_, rest)| rest.split_once(&format!("</{tag}>")));
        let text = inside.map_or("", |(text, _)| text);
        format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)))
    };
    format!(
        "default-src 'none'; connect-src 'self'; script-src {}; style-src {}; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        digest("script"),
        digest("style")
    )
}

/// The description.
pub(crate) fn docs() -> Answer {
    Answer { policy: Some(&DOCS_POLICY), ..Answer::text("text/html; charset=utf-8", DOCS) }
}

/// The store.
pub(crate) fn dashboard() -> Answer {
    Answer { policy: Some(&DASHBOARD_POLICY), ..Answer::text("text/html; charset=utf-8", DASHBOARD) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_need_nothing_from_elsewhere() {
        for (page, policy) in [(DOCS, &*DOCS_POLICY), (DASHBOARD, &*DASHBOARD_POLICY)] {
            assert!(policy.matches("'sha256-").count() == 2 && !policy.contains("unsafe"), "{policy}");
            for strange in ["http://", "https://", "src=", "@import", "style=", "onclick=\"", "innerHTML"] {
                assert!(!page.contains(strange), "{strange}");
            }
        }
        assert_ne!(*DOCS_POLICY, *DASHBOARD_POLICY);
    }
}
