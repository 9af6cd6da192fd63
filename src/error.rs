//! The one public error. Its kind says what the caller should do; its message names the value, the limit and the remedy.

use std::fmt;

/// The result of every fallible call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller should do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call is wrong: fix the argument that the message names.
    Invalid,
    /// Nothing of that name exists.
    NotFound,
    /// Another process (or this one) has the store open.
    AlreadyOpen,
    /// A limit on memory, disk or slots is reached: free room or raise it.
    Full,
    /// Stored bytes are damaged: run `nearfield doctor`.
    Corrupt,
    /// A failed write made the store read-only: reopen it.
    Poisoned,
    /// Something outside is away for now: try again.
    Unavailable,
    /// The state is not the expected one (a version, a schema).
    Conflict,
    /// The store was closed.
    Closed,
    /// A bug here: please report it.
    Internal,
}

/// An error: a kind, a message for people, and what caused it.
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The same error with its cause attached.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message without the cause.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same for another caller: what caused it is told in words.
    pub(crate) fn again(&self) -> Self {
        Self::new(self.kind, self.to_string())
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|s| s as _)
    }
}

/// `s` quoted for a message, cut when it is long: a message should fit on a screen whatever came in.
pub(crate) fn excerpt(s: &str) -> String {
    const CHARS_MAX: usize = 48;
    match s.char_indices().nth(CHARS_MAX) {
        Some((at, _)) => format!("{:?}... ({} bytes)", &s[..at], s.len()),
        None => format!("{s:?}"),
    }
}
