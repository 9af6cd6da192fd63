//! Who may do what: tokens with roles.
//!
//! Invariants: only hashes of tokens are kept, and all are compared in full, in constant time; nothing prints a token; what
//! a refused caller hears does not depend on what it sent.

use super::problem::{Code, Problem};
use crate::{Error, ErrorKind, Result};
use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};
use subtle::{Choice, ConstantTimeEq};

/// Bytes of a token, at least: as many as 32 hexadecimal digits of a good random number.
const TOKEN_BYTES_MIN: usize = 32;
const TOKEN_BYTES_MAX: usize = 512;
/// One in use, and the next one.
const TOKENS_PER_ROLE_MAX: usize = 2;
const FILE_BYTES_MAX: u64 = 64 << 10;

/// What a token allows. Each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Search and look.
    Read,
    /// Change chunks and collections.
    Write,
    /// Operate the server.
    Admin,
}

impl Role {
    const NAMES: [(Self, &str); 3] = [(Self::Read, "read"), (Self::Write, "write"), (Self::Admin, "admin")];

    pub(crate) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(role, _)| *role == self).map_or("", |(_, name)| name)
    }
}

impl FromStr for Role {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        let found = Self::NAMES.iter().find(|(_, known)| *known == name);
        found.map(|(role, _)| *role).ok_or_else(|| Error::invalid("a role is read, write or admin"))
    }
}

/// The tokens that are accepted: up to two for each role, so that one can be replaced while both hold.
#[derive(Clone, Default, PartialEq)]
pub struct Tokens {
    hashes: Vec<(Role, [u8; 32])>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.hashes.len())
    }
}

impl Tokens {
    /// Lines of a role and a token, as in `admin 6f1c...`; empty lines and lines that begin with `#` say nothing.
    pub fn parse(text: &str) -> Result<Self> {
        let mut tokens = Self::default();
        for (n, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = |e: Error| Error::invalid(format!("tokens, line {}: {}", n + 1, e.message()));
            let (role, token) = line
                .split_once(char::is_whitespace)
                .ok_or_else(|| at(Error::invalid("a line is a role and a token")))?;
            tokens.add(role.parse().map_err(at)?, token.trim()).map_err(at)?;
        }
        Ok(tokens)
    }

    /// Reads such lines from a file.
    pub fn read(file: &Path) -> Result<Self> {
        let cannot = |e| {
            let message = format!("the token file {} cannot be read", file.display());
            Error::new(ErrorKind::Unavailable, message).with_source(e)
        };
        let len = std::fs::metadata(file).map_err(cannot)?.len();
        if len > FILE_BYTES_MAX {
            let name = file.display();
            return Err(Error::invalid(format!(
                "the token file {name} has {len} bytes; it may have {FILE_BYTES_MAX}"
            )));
        }
        let tokens = Self::parse(&std::fs::read_to_string(file).map_err(cannot)?)?;
        if tokens.is_empty() {
            return Err(Error::invalid(format!("the token file {} holds no token", file.display())));
        }
        Ok(tokens)
    }

    /// Accepts one more token.
    pub fn add(&mut self, role: Role, token: &str) -> Result<()> {
        let (len, name) = (token.len(), role.name());
        if !(TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&len) || !token.bytes().all(|b| b.is_ascii_graphic())
        {
            return Err(Error::invalid(format!(
                "a token for {name} has {len} bytes; it must be {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX} letters, digits or \
                 signs, from a random source: openssl rand -hex 32"
            )));
        }
        if self.hashes.iter().filter(|(of, _)| *of == role).count() == TOKENS_PER_ROLE_MAX {
            return Err(Error::invalid(format!(
                "more than {TOKENS_PER_ROLE_MAX} tokens for {name}: one in use and the next one are enough"
            )));
        }
        self.hashes.push((role, hash(token.as_bytes())));
        Ok(())
    }

    /// Whether nobody is asked for one.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// The role of a token, if it is one of these.
    fn role_of(&self, token: &[u8]) -> Option<Role> {
        let given = hash(token);
        // No early end: how long this takes says nothing of where they differ.
        let matches = |(role, known): &(Role, [u8; 32])| (*role, known.ct_eq(&given));
        let found: Vec<(Role, Choice)> = self.hashes.iter().map(matches).collect();
        found.into_iter().filter(|(_, is_same)| bool::from(*is_same)).map(|(role, _)| role).max()
    }

    /// Lets a request through that may do what needs `role`.
    pub(crate) fn check(&self, headers: &HeaderMap, role: Role) -> std::result::Result<(), Problem> {
        if self.is_empty() {
            return Ok(());
        }
        let refused =
            || Problem::new(Code::Unauthorized, "send a valid token: Authorization: Bearer <token>");
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        // Two of them are a trick or a fault; whoever stands in between may look at the other one.
        let (Some(value), None) = (given.next(), given.next()) else { return Err(refused()) };
        let value = value.as_bytes();
        let token = bearer(value).map(<[u8]>::to_vec).or_else(|| basic(value)).ok_or_else(refused)?;
        match self.role_of(&token).ok_or_else(refused)? {
            has if has >= role => Ok(()),
            has => {
                let detail = format!("this needs a token for {}; yours is for {}", role.name(), has.name());
                Err(Problem::new(Code::Forbidden, detail))
            }
        }
    }
}

fn hash(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// The token of `Bearer <token>`; the scheme's name may be in any case.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    (scheme.eq_ignore_ascii_case(b"bearer ") && token.len() <= TOKEN_BYTES_MAX).then_some(token)
}

/// The password of `Basic <user:password>`: how a browser sends a token, which asks for one when a page is refused. The user's name
/// says nothing.
fn basic(value: &[u8]) -> Option<Vec<u8>> {
    let (scheme, pair) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") || pair.len() > 2 * TOKEN_BYTES_MAX {
        return None;
    }
    let pair = BASE64_STANDARD.decode(pair).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    Some(pair[colon + 1..].to_vec())
}

/// Failed attempts of each address, so that logs stay short while somebody guesses. A valid token is never refused.
pub(crate) struct Throttle {
    failures: Mutex<HashMap<Option<IpAddr>, (Instant, u32)>>,
}

const WINDOW: Duration = Duration::from_secs(60);
const FAILURES_MAX: u32 = 30;
const ADDRESSES_MAX: usize = 1_024;

impl Throttle {
    pub(crate) fn new() -> Self {
        Self { failures: Mutex::default() }
    }

    /// One more failure; what is left of the time to wait when there were too many.
    pub(crate) fn failed(&self, peer: Option<IpAddr>) -> Option<Duration> {
        let now = Instant::now();
        let mut failures = self.failures.lock();
        if failures.len() >= ADDRESSES_MAX {
            failures.retain(|_, (since, _)| now.duration_since(*since) < WINDOW);
        }
        // So many at once are all one.
        let peer = peer.filter(|_| failures.len() < ADDRESSES_MAX);
        let (since, count) = failures.entry(peer).or_insert((now, 0));
        if now.duration_since(*since) >= WINDOW {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        (*count > FAILURES_MAX).then(|| WINDOW.saturating_sub(now.duration_since(*since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    const READ: &str = "read-token-0123456789abcdef0123456789";
    const ADMIN: &str = "admin-token-0123456789abcdef012345678";

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    /// S2, S3.
    #[test]
    fn only_a_whole_token_once_lets_in_and_no_further_than_its_role() {
        let tokens = Tokens::parse(&format!("# mine\nread {READ}\n\nadmin {ADMIN}\n")).unwrap();
        let check = |values: &[&str], role| match tokens.check(&headers(values), role) {
            Ok(()) => 200,
            Err(problem) => problem.status.as_u16(),
        };
        let bearer = |token: &str| format!("Bearer {token}");
        assert_eq!(check(&[&bearer(READ)], Role::Read), 200);
        assert_eq!(check(&[&format!("bEARER {READ}")], Role::Read), 200);
        assert_eq!(check(&[&bearer(READ)], Role::Write), 403);
        assert_eq!(check(&[&bearer(ADMIN)], Role::Write), 200);
        for wrong in [
            vec![],
            vec![String::new()],
            vec![READ.to_owned()],
            vec![format!("Basic {READ}")],
            vec![bearer(&READ[1..])],
            vec![bearer(&READ[..READ.len() - 1])],
            vec![bearer(&format!("{READ} "))],
            vec![bearer(&format!(" {READ}"))],
            vec![bearer(&READ.to_uppercase())],
            vec![bearer(&format!("{READ}\u{e9}"))],
            vec![bearer(&READ.repeat(99))],
            vec![bearer(READ), bearer(READ)],
            vec![bearer(READ), bearer("wrong")],
        ] {
            let given: Vec<&str> = wrong.iter().map(String::as_str).collect();
            assert_eq!(check(&given, Role::Read), 401, "{given:?}");
        }
        assert!(Tokens::default().check(&headers(&[]), Role::Admin).is_ok());
    }

    #[test]
    fn two_tokens_of_a_role_hold_while_one_replaces_the_other() {
        let mut tokens = Tokens::parse(&format!("read {READ}\nread {ADMIN}")).unwrap();
        for token in [READ, ADMIN] {
            tokens.check(&headers(&[&format!("Bearer {token}")]), Role::Read).unwrap();
        }
        let third = tokens.add(Role::Read, &"x".repeat(40)).unwrap_err().to_string();
        assert!(third.contains("more than 2"), "{third}");
    }

    /// S4, S5.
    #[test]
    fn no_message_tells_a_token() {
        let secret = "short-secret";
        for text in [format!("read {secret}"), format!("reed {secret}"), secret.to_owned()] {
            let error = Tokens::parse(&text).unwrap_err().to_string();
            assert!(!error.contains(secret) && error.contains("line 1"), "{error}");
        }
        let tokens = Tokens::parse(&format!("read {READ}")).unwrap();
        assert_eq!(format!("{tokens:?}"), "Tokens(1)");
        assert!(!tokens.hashes[0].1.windows(4).any(|w| READ.as_bytes().windows(4).any(|r| r == w)));
    }

    #[test]
    fn failures_of_one_address_are_counted_and_the_table_is_bounded() {
        let throttle = Throttle::new();
        let peer = |n: u32| Some(IpAddr::from(n.to_le_bytes()));
        for _ in 0..FAILURES_MAX {
            assert_eq!(throttle.failed(peer(1)), None);
        }
        assert!(throttle.failed(peer(1)).is_some());
        assert_eq!(throttle.failed(peer(2)), None);
        for n in 0..5_000 {
            let _ = throttle.failed(peer(n));
        }
        assert!(throttle.failures.lock().len() <= ADDRESSES_MAX + 1);
    }
}
