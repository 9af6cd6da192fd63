//! The steps with a database: mirror, outage, edits by hand, audit, repair, rebuild.

use super::super::throwaway::Server;
use super::{COLLECTION, Demo};
use crate::{AuditReport, Chunk, Collection, Error, ErrorKind, Mirror, MirrorOptions, Result, Store, Trust};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);
/// Rows written while the database is down.
const WRITTEN: usize = 100;
const EDITED: &str = "in psql, with the triggers off, as a careless restore leaves it: two texts changed, two rows deleted, one added \
    (with the triggers on the mirror takes edits over within a second)";

impl Demo<'_> {
    /// All of them. An error before the first means that there is no database.
    pub(super) fn mirror(&mut self) -> Result<()> {
        self.teller.remark("\nNow with a database: a throw-away PostgreSQL, fetched the first time.")?;
        let from = Instant::now();
        let mut server = Server::start()?;
        let started = from.elapsed();
        let (store, docs) = self.open()?;
        let options = MirrorOptions::from_url(server.url()).retry_ms_max(200).audit_seconds(0);
        let mirror = Mirror::start(&store, options.clone())?;
        mirror.wait_mirrored(store.token(), LIMIT)?;
        let report = mirror.audit(COLLECTION, false)?;
        let lines = vec![
            format!("PostgreSQL {} started in {:.2} s", server.version(), started.as_secs_f64()),
            verdict(&report),
        ];
        self.teller.step("mirror every row to Postgres", from, lines)?;
        self.outage(&mut server, &store, &docs, &mirror)?;
        mirror.stop(LIMIT)?;
        drop(mirror);
        // From here on nothing is sent or taken over but what a step asks for.
        let manual = options.manual(true);
        let mirror = Mirror::start(&store, manual.clone())?;
        if self.drift(&server, &docs, &mirror)? {
            self.repair(&mirror)?;
        }
        let before = self.answer(&docs)?;
        mirror.stop(LIMIT)?;
        drop((mirror, docs, store));
        self.rebuild(&manual, &before)
    }

    fn outage(
        &mut self,
        server: &mut Server,
        store: &Store,
        docs: &Collection,
        mirror: &Mirror,
    ) -> Result<()> {
        let from = Instant::now();
        server.order("kill")?;
        let vectors = (0..WRITTEN)
            .map(|n| self.vector(&format!("row {n} of the outage")))
            .collect::<Result<Vec<_>>>()?;
        let writing = Instant::now();
        for (n, vector) in vectors.into_iter().enumerate() {
            docs.upsert([Chunk::new(format!("outage:{n}"))
                .vector(vector)
                .text(format!("row {n} of the outage"))])?;
        }
        let wrote = writing.elapsed();
        let found = self.ask(docs, "row 7 of the outage", None)?;
        let is_found = found.hits.iter().any(|hit| hit.id == "outage:7");
        let waiting = docs.stats().dirty;
        server.order("start")?;
        let catching_up = Instant::now();
        mirror.wait_mirrored(store.token(), LIMIT)?;
        let lines = vec![
            format!(
                "{WRITTEN} durable writes in {:.1} ms while it was down; searches {} them",
                wrote.as_secs_f64() * 1e3,
                if is_found { "find" } else { "do not find" }
            ),
            format!(
                "{waiting} rows waited; the database had them {:.2} s after it was back",
                catching_up.elapsed().as_secs_f64()
            ),
        ];
        self.teller.step("kill -9 the database while writing", from, lines)
    }

    /// Whether rows could be edited by hand.
    fn drift(&mut self, server: &Server, docs: &Collection, mirror: &Mirror) -> Result<bool> {
        let Some(psql) = server.program("psql") else {
            self.teller.remark("\nEditing rows by hand was left out: there is no psql beside the server.")?;
            return Ok(false);
        };
        let ids: Vec<String> = docs.scroll(None, None, 5)?.chunks.into_iter().map(|chunk| chunk.id).collect();
        let ids: Vec<String> = ids.iter().map(|id| quoted(id)).collect();
        let [a, b, c, d, e] = ids.as_slice() else { return Ok(false) };
        let of = format!("WHERE collection = '{COLLECTION}' AND id");
        let statements = [
            "ALTER TABLE nearfield.chunk DISABLE TRIGGER USER".to_owned(),
            format!("UPDATE nearfield.chunk SET text = 'edited by hand' {of} IN ({a}, {b})"),
            format!("DELETE FROM nearfield.chunk {of} IN ({c}, {d})"),
            format!(
                "INSERT INTO nearfield.chunk (collection, id, ver, node, digest, text, metadata, embedding, change_xid) SELECT \
                 collection, 'by-hand', ver, node, digest, 'added by hand', metadata, embedding, change_xid FROM nearfield.chunk {of} = {e}"
            ),
            "ALTER TABLE nearfield.chunk ENABLE TRIGGER USER".to_owned(),
        ];
        mirror.connect()?;
        for statement in &statements {
            sql(&psql, server.url(), statement)?;
        }
        let from = Instant::now();
        let report = mirror.audit(COLLECTION, true)?;
        let mut lines = vec![EDITED.to_owned(), verdict(&report)];
        for (what, ids) in [
            ("only in the database", &report.missing_locally),
            ("only here", &report.missing_remotely),
            ("of another version", &report.stale),
            ("edited by hand", &report.hand_edited),
        ] {
            if !ids.is_empty() {
                let ids: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
                lines.push(format!("{what}: {}", ids.join(", ")));
            }
        }
        self.teller.step("edit rows behind its back, then audit byte for byte", from, lines)?;
        Ok(true)
    }

    fn repair(&mut self, mirror: &Mirror) -> Result<()> {
        let from = Instant::now();
        let repaired = mirror.repair(COLLECTION, Trust::Database, false)?.repaired;
        let report = mirror.audit(COLLECTION, true)?;
        let lines = vec![
            format!("{repaired} rows were put right here"),
            format!("byte for byte: {}", verdict(&report)),
        ];
        self.teller.step("repair, trusting the database, and audit deeply", from, lines)
    }

    fn answer(&self, docs: &Collection) -> Result<Vec<String>> {
        let found = docs.search(&self.vector(&self.first())?).k(10).exact(true).run()?;
        Ok(found.hits.iter().map(|hit| hit.id.as_str().to_owned()).collect())
    }

    fn rebuild(&mut self, options: &MirrorOptions, before: &[String]) -> Result<()> {
        std::fs::remove_dir_all(self.store_folder()).map_err(|e| self.failed("removed", e))?;
        let from = Instant::now();
        let (store, docs) = self.open()?;
        let mirror = Mirror::start(&store, options.clone())?;
        mirror.connect()?;
        mirror.rebuild(COLLECTION)?;
        let report = mirror.audit(COLLECTION, false)?;
        let is_same = self.answer(&docs)? == before;
        let lines = vec![
            verdict(&report),
            format!(
                "the first question has {} answer as before",
                if is_same { "the same" } else { "another" }
            ),
        ];
        mirror.stop(LIMIT)?;
        drop(mirror);
        store.close(LIMIT)?;
        self.teller.step("delete the store and rebuild it from the database", from, lines)
    }
}

fn verdict(report: &AuditReport) -> String {
    let root = |root: crate::Root| format!("{} rows {:016x}", root.rows, root.sum);
    let sides = format!("here {}, there {}", root(report.local), root(report.database));
    if report.is_equal() {
        format!("audit: equal; {sides}")
    } else {
        format!("audit: {} rows differ; {sides}", report.drift())
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn sql(psql: &Path, url: &str, statement: &str) -> Result<()> {
    let failed = |why: String| Error::new(ErrorKind::Unavailable, format!("psql failed: {why}"));
    let parts = Parts::of(url).ok_or_else(|| failed("the server's URL is of another shape".to_owned()))?;
    let mut command = Command::new(psql);
    command.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--command", statement]);
    // By the environment: a command line can be read by everyone.
    command.env("PGUSER", parts.user).env("PGPASSWORD", parts.password).env("PGHOST", parts.host);
    command.env("PGPORT", parts.port).env("PGDATABASE", parts.database).stdin(Stdio::null());
    let done = command.output().map_err(|e| failed(e.to_string()))?;
    if done.status.success() {
        Ok(())
    } else {
        Err(failed(String::from_utf8_lossy(&done.stderr).into_owned()))
    }
}

/// The parts of a throw-away server's URL, which has all of them and no escape.
#[derive(Debug, PartialEq)]
struct Parts<'a> {
    user: &'a str,
    password: &'a str,
    host: &'a str,
    port: &'a str,
    database: &'a str,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Option<Self> {
        let (account, place) = url.split_once("://")?.1.split_once('@')?;
        let (user, password) = account.split_once(':')?;
        let (address, database) = place.split_once('/')?;
        let (host, port) = address.split_once(':')?;
        Some(Self { user, password, host, port, database: database.split('?').next()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_comes_apart() {
        let parts = Parts { user: "u", password: "p", host: "127.0.0.1", port: "5", database: "d" };
        assert_eq!(Parts::of("postgres://u:p@127.0.0.1:5/d?a=b"), Some(parts));
        assert_eq!(Parts::of("postgres://127.0.0.1/d"), None);
    }

    #[test]
    fn an_id_cannot_end_its_quotes() {
        assert_eq!(quoted("it's"), "'it''s'");
    }
}
