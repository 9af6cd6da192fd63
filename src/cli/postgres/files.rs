//! The files of a cluster, as its folder holds them.
//!
//! `data` belongs to whom the server runs as; `log`, `password` and `port` are ours. `making` is what a killed `initdb` leaves. What
//! runs is read from the server's own `data/postmaster.pid`.

use super::{at, home};
use crate::{Error, ErrorKind, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Shown of a log.
const TAIL_LINES: usize = 12;

/// The folder of one cluster.
#[derive(Clone, Debug)]
pub(super) struct Files(pub(super) PathBuf);

/// What the server says of itself in `postmaster.pid`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Postmaster {
    pub(super) pid: u32,
    pub(super) port: u16,
    pub(super) is_ready: bool,
}

impl Files {
    pub(super) fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    pub(super) fn making(&self) -> PathBuf {
        self.0.join("making")
    }

    pub(super) fn password(&self) -> PathBuf {
        self.0.join("password")
    }

    /// The version that made the data, if there are data.
    pub(super) fn version(&self) -> Option<String> {
        fs::read_to_string(self.data().join("PG_VERSION")).ok().map(|text| text.trim().to_owned())
    }

    /// What the server that runs here, or that ran here last and was killed, has written.
    pub(super) fn postmaster(&self) -> Option<Postmaster> {
        Postmaster::parse(&fs::read_to_string(self.data().join("postmaster.pid")).ok()?)
    }

    /// The port of the last server that was started here.
    pub(super) fn last_port(&self) -> Option<u16> {
        fs::read_to_string(self.port()).ok()?.trim().parse().ok()
    }

    /// Where this fails, the next start takes another port.
    pub(super) fn keep_port(&self, port: u16) {
        let _ = fs::write(self.port(), format!("{port}\n"));
    }

    fn port(&self) -> PathBuf {
        self.0.join("port")
    }

    /// With the password: whoever may read it may connect.
    pub(super) fn url(&self, port: u16) -> Result<String> {
        let path = self.password();
        let password = fs::read_to_string(&path).map_err(at("read", &path))?;
        Ok(format!("postgres://postgres:{}@127.0.0.1:{port}/postgres", password.trim()))
    }

    /// Everything in the log after its first `since` bytes.
    pub(super) fn log_since(&self, since: u64) -> Result<String> {
        let path = self.log();
        let mut file = File::open(&path).map_err(at("open", &path))?;
        let mut bytes = Vec::new();
        let read = file.seek(SeekFrom::Start(since)).and_then(|_| file.read_to_end(&mut bytes));
        read.map_err(at("read", &path))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The log to write to, and how long it is.
    pub(super) fn open_log(&self) -> Result<(File, u64)> {
        let path = self.log();
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let file = file.map_err(at("open", &path))?;
        let len = file.metadata().map_err(at("look at", &path))?.len();
        Ok((file, len))
    }

    /// Refuses a folder that holds something else than a cluster of ours.
    pub(super) fn expect_ours(&self) -> Result<()> {
        let entries = fs::read_dir(&self.0).map_err(at("read the folder", &self.0))?;
        // A lock is made before all else.
        let others = entries.flatten().filter(|entry| entry.file_name() != "lock").count();
        if others == 0 || self.password().exists() {
            return Ok(());
        }
        let message = format!(
            "{} holds other things than a server of `nearfield postgres`: name a folder that is empty or not there with --dir",
            self.0.display()
        );
        Err(Error::new(ErrorKind::Conflict, message))
    }
}

impl Postmaster {
    fn parse(text: &str) -> Option<Self> {
        // pid, data folder, start, port, socket folder, address, shared memory, status; the last comes when it is known.
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let (pid, port) = (lines.first()?.parse().ok()?, lines.get(3)?.parse().ok()?);
        Some(Self { pid, port, is_ready: lines.get(7).is_some_and(|status| *status == "ready") })
    }
}

/// A new file that only its owner can read.
pub(super) fn write_secret(path: &Path, text: &str) -> Result<()> {
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(true).write(true).mode(0o600).open(path);
    file.and_then(|mut file| writeln!(file, "{text}")).map_err(at("write", path))
}

/// The end of what a program said.
pub(super) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let shown = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    if shown.is_empty() { "  (nothing)".to_owned() } else { format!("  {}", shown.join("\n  ")) }
}

/// The folder itself, made when it is not there.
pub(super) fn folder(path: &Path) -> Result<Files> {
    home::make_dir(path, 0o755)?;
    fs::canonicalize(path).map(Files).map_err(at("find the folder", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_s_own_file_is_read_while_it_is_written() {
        let whole = "4711\n/data\n1760000000\n5433\n\n127.0.0.1\n  1234 5678\nready   \n";
        assert_eq!(Postmaster::parse(whole), Some(Postmaster { pid: 4711, port: 5433, is_ready: true }));
        let starting = whole.replace("ready", "starting");
        assert_eq!(Postmaster::parse(&starting), Some(Postmaster { pid: 4711, port: 5433, is_ready: false }));
        let early = "4711\n/data\n1760000000\n5433\n\n";
        assert_eq!(Postmaster::parse(early), Some(Postmaster { pid: 4711, port: 5433, is_ready: false }));
        assert_eq!(Postmaster::parse("4711\n"), None);
        assert_eq!(Postmaster::parse(""), None);
    }

    #[test]
    fn the_end_of_a_log_is_shown() {
        assert_eq!(tail(""), "  (nothing)");
        let text: String = (0..20).map(|n| format!("line {n}\n")).collect();
        assert_eq!(tail(&text).lines().count(), TAIL_LINES);
        assert!(tail(&text).ends_with("line 19"));
    }

    #[test]
    fn a_folder_with_other_things_is_refused() {
        let home = tempfile::TempDir::new().unwrap();
        let files = folder(&home.path().join("new")).unwrap();
        assert!(files.expect_ours().is_ok());
        fs::write(files.0.join("lock"), "").unwrap();
        assert!(files.expect_ours().is_ok());
        fs::write(files.0.join("thesis.tex"), "").unwrap();
        assert!(files.expect_ours().unwrap_err().to_string().contains("other things"));
        write_secret(&files.password(), "x").unwrap();
        assert!(files.expect_ours().is_ok());
        assert_eq!(files.url(5).unwrap(), "postgres://postgres:x@127.0.0.1:5/postgres");
    }
}
