//! The folder that runs share: `nearfield-postgres-UID` in the system's folder for temporary files.
//!
//! Programs that are run lie in it, so it is believed only if nobody else can have put them there: it is a folder, it is
//! ours, nobody else may write to it, and nobody else can put another in its place. It lies where an unprivileged user can
//! come to, because a checkout often does not.

use super::account::Account;
use super::{at, process};
use crate::{Error, ErrorKind, Result};
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

const STICKY: u32 = 0o1000;
/// What the group and others must not have.
const WRITABLE: u32 = 0o022;
/// For entries that a process which is being killed is still making.
const REMOVE_LIMIT: Duration = Duration::from_secs(5);

/// The folder, checked.
pub(super) struct Home(PathBuf);

impl Home {
    /// Makes the folder, or believes the one that is there.
    pub(super) fn open() -> Result<Self> {
        let temporary = std::env::temp_dir();
        let temporary = fs::canonicalize(&temporary).map_err(at("find the folder", &temporary))?;
        let uid = rustix::process::geteuid().as_raw();
        let path = temporary.join(format!("nearfield-postgres-{uid}"));
        make_dir(&path, 0o755)?;
        let look = |path: &Path| fs::symlink_metadata(path).map_err(at("look at", path));
        let (parent, own) = (look(&temporary)?, look(&path)?);
        if let Some(fault) = fault_of_parent(&parent, uid) {
            let message = format!(
                "{} {fault}: programs to run must not lie there; set TMPDIR to a folder such as /tmp",
                temporary.display()
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        if let Some(fault) = fault(&own, uid) {
            let message = format!(
                "{} {fault}: programs in it cannot be trusted; look who made it and remove it, or set TMPDIR to \
                 another folder",
                path.display()
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        Ok(Self(path))
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Waits until nobody else changes what is shared; until the file is dropped, nobody else will.
    pub(super) fn lock(&self) -> Result<File> {
        let path = self.join("lock");
        let file = lock_file(&path)?;
        file.lock().map_err(at("lock", &path))?;
        Ok(file)
    }

    /// The folders whose names begin with `prefix`.
    pub(super) fn entries(&self, prefix: &str) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.0) else { return vec![] };
        let named = entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with(prefix));
        named.map(|e| e.path()).collect()
    }
}

/// What is wrong with the shared folder itself.
fn fault(own: &Metadata, uid: u32) -> Option<String> {
    let mode = own.mode() & 0o7777;
    if !own.is_dir() {
        return Some("is no folder".to_owned());
    }
    if own.uid() != uid {
        return Some(format!("belongs to user {}, not to user {uid}", own.uid()));
    }
    (mode & WRITABLE != 0).then(|| format!("can be written to by others (mode {mode:04o})"))
}

/// What is wrong with the folder that it lies in.
fn fault_of_parent(parent: &Metadata, uid: u32) -> Option<String> {
    let mode = parent.mode() & 0o7777;
    if ![0, uid].contains(&parent.uid()) {
        return Some(format!("belongs to user {}", parent.uid()));
    }
    (mode & WRITABLE != 0 && mode & STICKY == 0)
        .then(|| format!("lets everyone replace the folders of others (mode {mode:04o})"))
}

/// A folder of the given mode whatever the umask; one that is there stays as it is.
pub(super) fn make_dir(path: &Path, mode: u32) -> Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(at("set the mode of", path))
        }
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(at("make the folder", path)(e)),
    }
}

/// A file to lock, for us alone.
pub(super) fn lock_file(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600).open(path).map_err(at("open", path))
}

/// Removes a folder and all in it, also while a process that was killed still adds to it.
pub(super) fn remove(path: &Path) -> Result<()> {
    let mut last = None;
    let is_gone = process::wait_for(REMOVE_LIMIT, || {
        last = fs::remove_dir_all(path).err().filter(|e| e.kind() != std::io::ErrorKind::NotFound);
        last.is_none()
    });
    match last {
        Some(e) if !is_gone => Err(at("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Refuses a folder that `account` cannot come to.
pub(super) fn expect_reachable(path: &Path, account: Option<&Account>) -> Result<()> {
    let Some(account) = account else { return Ok(()) };
    for folder in path.ancestors() {
        let meta = fs::metadata(folder).map_err(at("look at", folder))?;
        let (mode, is_own) = (meta.mode() & 0o777, meta.uid() == account.uid);
        if mode & 0o001 == 0 && !(is_own && mode & 0o100 != 0) {
            let message = format!(
                "{} lies in {} (mode {mode:04o}), which user {} cannot enter, and PostgreSQL does not run as \
                 root: use a folder below /tmp, or call this as an ordinary user",
                path.display(),
                folder.display(),
                account.name
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
    }
    Ok(())
}

/// Digits that nobody can guess.
pub(super) fn secret() -> Result<String> {
    let source = Path::new("/dev/urandom");
    let mut bytes = [0; 16];
    let mut file = File::open(source).map_err(at("open", source))?;
    file.read_exact(&mut bytes).map_err(at("read", source))?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_folder_of_ours_is_believed() {
        let home = tempfile::TempDir::new().unwrap();
        let (uid, path) = (rustix::process::geteuid().as_raw(), home.path().join("a"));
        let faults = |mode: u32, uid: u32| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let meta = fs::symlink_metadata(&path).unwrap();
            (fault(&meta, uid).unwrap_or_default(), fault_of_parent(&meta, uid).unwrap_or_default())
        };
        make_dir(&path, 0o755).unwrap();
        assert_eq!(faults(0o755, uid), (String::new(), String::new()));
        let (own, parent) = faults(0o777, uid);
        assert!(own.contains("mode 0777") && parent.contains("mode 0777"), "{own}, {parent}");
        let (own, parent) = faults(0o1777, uid);
        assert!(own.contains("mode 1777") && parent.is_empty(), "{own}, {parent}");
        assert!(faults(0o755, uid + 1).0.contains(&format!("not to user {}", uid + 1)));

        let link = home.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(fault(&fs::symlink_metadata(&link).unwrap(), uid).unwrap(), "is no folder");
    }

    #[test]
    fn secrets_differ() {
        let (a, b) = (secret().unwrap(), secret().unwrap());
        assert!(a != b && a.len() == 32 && a.bytes().all(|c| c.is_ascii_hexdigit()), "{a} {b}");
    }
}
