//! Where the programs of PostgreSQL come from: one that is installed with pgvector, else the wheel.

use super::home::Home;
use super::{account, at, unavailable, unpack};
use crate::cli::progress::Progress;
use crate::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

const VARIABLE: &str = "NEARFIELD_PG_CONFIG";
/// The oldest that the mirror speaks to.
const MAJOR_MIN: u32 = 14;

/// The programs of one version.
pub(super) struct Programs {
    /// Holds `initdb` and `postgres`.
    pub(super) folder: PathBuf,
    pub(super) version: String,
    /// For people: where they come from.
    pub(super) source: String,
}

impl Programs {
    /// Programs of the wanted major version, or of any.
    pub(super) fn find(home: &Home, wanted: Option<u32>, progress: Progress) -> Result<Self> {
        if let Some(oldest) = wanted.filter(|major| *major < MAJOR_MIN) {
            let message =
                format!("PostgreSQL {oldest} is too old: {MAJOR_MIN} is the oldest that works here");
            return Err(Error::invalid(message));
        }
        let named = std::env::var_os(VARIABLE);
        let pg_config = PathBuf::from(named.as_deref().unwrap_or("pg_config".as_ref()));
        let why_not = match Self::installed(&pg_config, wanted) {
            Ok(programs) => return Ok(programs),
            Err(why_not) => why_not,
        };
        if named.is_some() {
            let message =
                format!("{VARIABLE} names no PostgreSQL with pgvector: {why_not}; change it or unset it");
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        let folder = unpack::wheel(home, wanted, progress).map_err(|e| {
            let message = format!(
                "there is no PostgreSQL with pgvector. {why_not}. The wheel: {e}.\nAny one of these helps: install \
                 pgvector for that PostgreSQL (postgresql-NN-pgvector on Debian); name another pg_config in {VARIABLE}; let \
                 `python3 -m pip` reach PyPI, or a folder with the wheel by PIP_FIND_LINKS. Tests also take a server that runs, \
                 by DATABASE_URL"
            );
            Error::new(e.kind(), message)
        })?;
        let version = version(&folder)?;
        Ok(Self { folder, version, source: unpack::SOURCE.to_owned() })
    }

    /// What a `pg_config` speaks of, or why that does not do.
    fn installed(pg_config: &Path, wanted: Option<u32>) -> Result<Self, String> {
        let told = |e: &dyn std::fmt::Display| format!("{} did not run: {e}", pg_config.display());
        let output =
            Command::new(pg_config).args(["--bindir", "--sharedir"]).output().map_err(|e| told(&e))?;
        if !output.status.success() {
            return Err(told(&output.status));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let mut lines = text.lines().map(PathBuf::from);
        let (Some(folder), Some(share)) = (lines.next(), lines.next()) else {
            return Err(told(&"it named no folders"));
        };
        let needed = [share.join("extension/vector.control"), folder.join("initdb"), folder.join("postgres")];
        if let Some(missing) = needed.iter().find(|path| !path.exists()) {
            return Err(format!(
                "{} speaks of a PostgreSQL without {}",
                pg_config.display(),
                missing.display()
            ));
        }
        let version = version(&folder).map_err(|e| told(&e))?;
        let is_wanted = wanted.map_or(major(&version) >= MAJOR_MIN, |wanted| major(&version) == wanted);
        let source = format!("pg_config {}", pg_config.display());
        let programs = Self { folder, version, source };
        if is_wanted { Ok(programs) } else { Err(format!("{} has {}", programs.source, programs.version)) }
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// What `postgres` says of itself. It also shows that the programs run on this machine.
fn version(folder: &Path) -> Result<String> {
    let program = folder.join("postgres");
    let mut command = account::command(&program, None);
    let output = command.arg("--version").output().map_err(at("run", &program))?;
    let text = String::from_utf8_lossy(&output.stdout);
    // `postgres (PostgreSQL) 18.1 (Debian 18.1-1)`
    match text.split_whitespace().nth(2) {
        Some(version) if output.status.success() => Ok(version.to_owned()),
        _ => {
            let said = String::from_utf8_lossy(&output.stderr);
            let message =
                format!("{} does not run here ({}): {}", program.display(), output.status, said.trim());
            Err(unavailable(message))
        }
    }
}

/// `18` of `18.1`, `19` of `19beta2`.
pub(super) fn major(version: &str) -> u32 {
    let digits = version.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn script(path: &Path, text: &str) {
        fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn major_versions() {
        for (version, wanted) in [("18.1", 18), ("16.14", 16), ("19beta2", 19), ("", 0)] {
            assert_eq!(major(version), wanted);
        }
    }

    #[test]
    fn an_installed_one_is_taken_only_if_all_of_it_is_there() {
        let home = tempfile::TempDir::new().unwrap();
        let at = |name: &str| home.path().join(name);
        let pg_config = at("pg_config");
        let refused = |wanted| Programs::installed(&pg_config, wanted).err().unwrap_or_default();
        assert!(refused(None).contains("did not run"), "{}", refused(None));
        script(&pg_config, "exit 3");
        assert!(refused(None).contains("exit status: 3"), "{}", refused(None));
        script(&pg_config, &format!("echo {0}; echo {0}", home.path().display()));
        assert!(refused(None).contains("without"), "{}", refused(None));
        fs::create_dir(at("extension")).unwrap();
        for name in ["extension/vector.control", "initdb"] {
            assert!(refused(None).contains(name), "{}", refused(None));
            fs::write(at(name), "").unwrap();
        }
        script(&at("postgres"), "echo 'postgres (PostgreSQL) 17.4 (Here)'");
        let programs = Programs::installed(&pg_config, None).ok().unwrap();
        assert_eq!((programs.version.as_str(), &programs.folder), ("17.4", &home.path().to_path_buf()));
        assert!(Programs::installed(&pg_config, Some(17)).is_ok());
        assert!(refused(Some(16)).ends_with("has 17.4"), "{}", refused(Some(16)));
        script(&at("postgres"), "echo 'postgres (PostgreSQL) 13.9'");
        assert!(refused(None).ends_with("has 13.9"), "{}", refused(None));
        script(&at("postgres"), "echo no such library >&2; exit 127");
        assert!(refused(None).contains("no such library"), "{}", refused(None));
    }
}
