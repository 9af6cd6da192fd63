//! Settings of the server as plain data.

use super::auth::Tokens;
use crate::{Error, Providers, Result, limits};
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The port of a server that is not told another.
const PORT: u16 = 6327;

/// How the server goes about its work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Address and port. Default: 127.0.0.1:6327. An address that others can reach needs [`tokens`](Self::tokens).
    pub bind: SocketAddr,
    /// Who may do what. Default: no tokens, and everybody who reaches the server may do everything.
    #[serde(skip)]
    pub tokens: Tokens,
    /// Names under which the server may be asked for while it has no tokens: a page in a browser cannot reach it under any
    /// other. Default: `localhost`, `127.0.0.1` and `[::1]`.
    pub hosts: Vec<String>,
    /// Threads that search and read. Default: 0, as many as the machine has cores. A short search that is alone needs none of them on a
    /// port of our own.
    pub search_threads: usize,
    /// Threads that write. Default: 8. They wait for the disk together: more share a sync.
    pub write_threads: usize,
    /// Threads that serve sockets. Default: 1. It computes nothing.
    pub io_threads: usize,
    /// Calls that wait for a thread of either kind; one more is refused with 503. Default: 256.
    pub queue: usize,
    /// Connections at a time; one more is closed. Default: 1,024.
    pub connections_max: usize,
    /// Share of searches, 0 to 1, that are repeated exactly in the background, to estimate the recall. Default: 0.001. It never
    /// takes more than a hundredth of one core. 0 switches it off.
    pub recall_share: f64,
    /// The folder that snapshots are made in, each in one of its own. Default: none, and none can be made.
    pub snapshots: Option<PathBuf>,
    /// Who makes the vectors of collections that name a provider. Default: `hashed` alone, which is built in.
    #[serde(skip)]
    pub embedding: Providers,
    /// Whether chunks that wait for a vector are embedded in the background, where their collection names a provider. Default:
    /// true. Leave it so unless another process does it.
    pub backfill: bool,
    /// How long requests that are under way may take when the server ends, in milliseconds. Default: 10,000.
    pub shutdown_ms: u64,
    /// What one request may ask for.
    pub limits: Limits,
}

/// The maxima of a request. All are enforced before memory is taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of a body. Default: 32 MiB. A stream of lines has no limit but this one for each line.
    pub body_bytes_max: usize,
    /// Bytes of all bodies that are being read or worked on. Default: 256 MiB.
    pub bodies_bytes_max: usize,
    /// Hits of a search. Default: 1,000.
    pub k_max: usize,
    /// Hits of a range search. Default: 10,000.
    pub range_hits_max: usize,
    /// Width of the beam. Default: 4,096.
    pub ef_max: usize,
    /// Chunks of one upsert, ids of one call. Default: 1,000.
    pub batch_max: usize,
    /// Searches of one batch. Default: 1,000.
    pub searches_max: usize,
    /// Hits of all searches of one batch. Default: 100,000.
    pub batch_hits_max: usize,
    /// Bytes after which a page of chunks ends. Default: 8 MiB.
    pub page_bytes_max: usize,
    /// Time for a request, in milliseconds. Default: 10,000.
    pub request_ms: u64,
    /// Time for the head of a request, and for the silence between two on one connection, in milliseconds. Default: 30,000.
    pub header_ms: u64,
    /// How long a peer may neither take nor give a byte while it should, in milliseconds. Default: 30,000.
    pub stall_ms: u64,
    /// Streams of lines at a time. Default: 16.
    pub streams_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)),
            tokens: Tokens::default(),
            hosts: ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).to_vec(),
            search_threads: 0,
            write_threads: 8,
            io_threads: 1,
            queue: 256,
            connections_max: 1_024,
            recall_share: 0.001,
            snapshots: None,
            embedding: Providers::default(),
            backfill: true,
            shutdown_ms: 10_000,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 32 << 20,
            bodies_bytes_max: 256 << 20,
            k_max: 1_000,
            range_hits_max: limits::RANGE_HITS_MAX,
            ef_max: limits::EF_MAX,
            batch_max: 1_000,
            searches_max: 1_000,
            batch_hits_max: 100_000,
            page_bytes_max: 8 << 20,
            request_ms: 10_000,
            header_ms: 30_000,
            stall_ms: 30_000,
            streams_max: 16,
        }
    }
}

impl Limits {
    pub(super) fn request(&self) -> Duration {
        Duration::from_millis(self.request_ms)
    }

    pub(super) fn stall(&self) -> Duration {
        Duration::from_millis(self.stall_ms)
    }
}

impl Options {
    /// Refuses what cannot work, with the reason.
    pub(crate) fn validate(&self) -> Result<()> {
        let Limits { body_bytes_max, bodies_bytes_max, .. } = self.limits;
        let Limits { k_max, ef_max, range_hits_max, searches_max, .. } = self.limits;
        let Limits { batch_max, batch_hits_max, page_bytes_max, .. } = self.limits;
        let Limits { request_ms, header_ms, stall_ms, streams_max, .. } = self.limits;
        for (name, value, max) in [
            ("search_threads", self.search_threads.max(1), 1_024),
            ("write_threads", self.write_threads, 1_024),
            ("io_threads", self.io_threads, 1_024),
            ("queue", self.queue, 1 << 20),
            ("connections_max", self.connections_max, 1 << 20),
            ("body_bytes_max", body_bytes_max, 1 << 40),
            ("k_max", k_max, limits::K_MAX),
            ("range_hits_max", range_hits_max, limits::RANGE_HITS_MAX),
            ("ef_max", ef_max, limits::EF_MAX),
            ("searches_max", searches_max, limits::SEARCH_BATCH_MAX),
            ("batch_max", batch_max, 1 << 20),
            ("batch_hits_max", batch_hits_max, 1 << 30),
            ("page_bytes_max", page_bytes_max, 1 << 40),
            ("streams_max", streams_max, 1 << 16),
        ] {
            within(name, value as u64, 1, max as u64)?;
        }
        within("bodies_bytes_max", bodies_bytes_max as u64, body_bytes_max as u64, 1 << 40)?;
        within("request_ms", request_ms, 1, 3_600_000)?;
        within("header_ms", header_ms, 1, 3_600_000)?;
        within("stall_ms", stall_ms, 1, 3_600_000)?;
        within("shutdown_ms", self.shutdown_ms, 0, 3_600_000)?;
        if !(0.0..=1.0).contains(&self.recall_share) {
            let share = self.recall_share;
            return Err(Error::invalid(format!(
                "recall_share is {share}; it must be 0 to 1: it is a share of all searches"
            )));
        }
        Ok(())
    }

    /// Refuses to be open to others without a token.
    pub(crate) fn check_bind(&self) -> Result<()> {
        if self.bind.ip().is_loopback() || !self.tokens.is_empty() {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "{} can be reached from elsewhere and there is no token: give a token file, or bind to 127.0.0.1",
            self.bind
        )))
    }
}

fn within(name: &str, value: u64, min: u64, max: u64) -> Result<()> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(format!("{name} is {value}; it must be {min} to {max}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_impossible_settings_name_value_and_limit() {
        Options::default().validate().unwrap();
        let with = |change: fn(&mut Options)| {
            let mut options = Options::default();
            change(&mut options);
            options.validate().unwrap_err().to_string()
        };
        for (error, value, limit) in [
            (with(|o| o.queue = 0), "queue is 0", "1 to"),
            (with(|o| o.limits.k_max = 20_000), "k_max is 20000", "1 to 10000"),
            (with(|o| o.limits.bodies_bytes_max = 9), "bodies_bytes_max is 9", "33554432 to"),
            (with(|o| o.limits.request_ms = 0), "request_ms is 0", "1 to"),
            (with(|o| o.recall_share = f64::NAN), "recall_share is NaN", "0 to 1"),
        ] {
            assert!(error.contains(value) && error.contains(limit), "{error}");
        }
    }

    /// S1.
    #[test]
    fn an_address_that_others_reach_needs_a_token() {
        let tokens = Tokens::parse("read 0123456789abcdef0123456789abcdef").unwrap();
        for (bind, is_open) in [
            ("127.0.0.1:0", true),
            ("127.3.4.5:0", true),
            ("[::1]:0", true),
            ("0.0.0.0:0", false),
            ("[::]:0", false),
            ("10.0.0.1:0", false),
            ("192.168.1.1:0", false),
            ("[::ffff:10.0.0.1]:0", false),
        ] {
            let mut options = Options { bind: bind.parse().unwrap(), ..Options::default() };
            assert_eq!(options.check_bind().is_ok(), is_open, "{bind}");
            options.tokens = tokens.clone();
            options.check_bind().unwrap();
        }
    }

    #[test]
    fn options_are_plain_data_without_tokens() {
        let options: Options = serde_json::from_str(r#"{"queue": 9, "limits": {"k_max": 5}}"#).unwrap();
        assert_eq!((options.queue, options.limits.k_max), (9, 5));
        assert!(serde_json::from_str::<Options>(r#"{"qeue": 9}"#).is_err());
        assert!(!serde_json::to_string(&options).unwrap().contains("token"));
    }
}
