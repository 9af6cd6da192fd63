//! What the operating system says about files, in this crate's words.

use crate::error::{Error, ErrorKind};
use std::{fmt, io};

/// The error for a failed step: `doing` is a verb phrase such as `"write to"`.
pub(crate) fn fault(doing: &str, path: &str, source: io::Error) -> Error {
    use io::ErrorKind as Io;
    let (kind, remedy) = match source.kind() {
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => {
            (ErrorKind::Full, "free room on the disk; nothing that was acknowledged is lost")
        }
        Io::ReadOnlyFilesystem | Io::PermissionDenied => {
            (ErrorKind::Unavailable, "make the folder writable for this process")
        }
        Io::NotFound => (ErrorKind::Corrupt, "run `nearfield doctor`"),
        Io::UnexpectedEof | Io::InvalidData => (ErrorKind::Corrupt, "run `nearfield doctor`"),
        Io::OutOfMemory => (ErrorKind::Full, "raise the limit on memory or on mappings"),
        _ => (ErrorKind::Unavailable, "look at the system's log for the disk"),
    };
    Error::new(kind, format!("cannot {doing} {path}; {remedy}")).with_source(source)
}

/// The error for bytes that cannot be what was written: `what` says what is wrong with those at `offset`.
pub(crate) fn damaged(path: &str, offset: u64, what: impl fmt::Display) -> Error {
    let message = format!("{path} is damaged at byte {offset}: {what}; run `nearfield doctor`");
    Error::new(ErrorKind::Corrupt, message)
}

/// The error for a file that a newer build wrote.
pub(crate) fn newer(path: &str, version: u32, version_max: u32) -> Error {
    let message = format!(
        "{path} was written by a newer version {version}; this build reads up to {version_max}: use the newer build"
    );
    Error::new(ErrorKind::Conflict, message)
}
