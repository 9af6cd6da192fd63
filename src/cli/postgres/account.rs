//! Who the server runs as. PostgreSQL refuses to run as root, so root hands it to a user without rights.

use crate::{Error, ErrorKind, Result};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Users that root hands a server to; the first that exists.
const NAMES: [&str; 2] = ["postgres", "nobody"];

/// A user of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Account {
    /// Who the server runs as; none is who runs this process.
    pub(super) fn of_server() -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        Self::unprivileged(&passwd).map(Some).ok_or_else(|| {
            let message = "PostgreSQL does not run as root, and /etc/passwd names neither postgres nor nobody \
                           to run it as: add one of them, or call this as an ordinary user";
            Error::new(ErrorKind::Unavailable, message)
        })
    }

    fn unprivileged(passwd: &str) -> Option<Self> {
        NAMES.iter().find_map(|name| passwd.lines().find_map(|line| Self::parse(line, name)))
    }

    fn parse(line: &str, name: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let is_named = fields.next()? == name;
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        (is_named && uid != 0).then(|| Self { name: name.to_owned(), uid, gid })
    }
}

/// `program`, run as `account`, with nothing in its environment that speaks of another server or another language.
pub(super) fn command(program: &Path, account: Option<&Account>) -> Command {
    let mut command = Command::new(program);
    clean(&mut command);
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    command
}

/// Removes what would change where a program of PostgreSQL looks and how it speaks: its log is read here.
pub(super) fn clean(command: &mut Command) {
    let foreign = std::env::vars_os().map(|(name, _)| name);
    for name in foreign.filter(|name| name.to_str().is_some_and(|n| n.starts_with("PG") || n == "LANGUAGE")) {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgres_is_preferred_and_root_never_taken() {
        let of = |passwd: &str| Account::unprivileged(passwd).map(|a| (a.name, a.uid, a.gid));
        let nobody = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65533::/:/bin/false\n";
        assert_eq!(of(nobody), Some(("nobody".to_owned(), 65_534, 65_533)));
        assert_eq!(
            of(&format!("{nobody}postgres:x:101:104::/:/bin/sh")),
            Some(("postgres".to_owned(), 101, 104))
        );
        assert_eq!(of("postgres:x:0:0::/:/bin/sh\nnobody:*:-2:-2::/:/bin/false\n"), None);
    }
}
