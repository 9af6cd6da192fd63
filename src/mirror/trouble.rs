//! Why a step of the mirror did not end well: the database, this store, or a guard.

use super::guards::Block;
use super::remote::{Fault, FaultClass};
use crate::error::{Error, ErrorKind};

pub(super) type Step<T> = Result<T, Trouble>;

#[derive(Debug)]
pub(super) enum Trouble {
    Remote(Fault),
    Local(Error),
    /// A person must decide.
    Blocked(Box<Block>),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Remote(fault)
    }
}

impl From<Block> for Trouble {
    fn from(block: Block) -> Self {
        Self::Blocked(Box::new(block))
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Local(error)
    }
}

impl From<Trouble> for Error {
    /// What a caller of the public interface hears.
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Local(error) => error,
            Trouble::Blocked(block) => Self::new(
                ErrorKind::Conflict,
                format!("the mirror is blocked: {block}; look at it, then call resolve"),
            ),
            Trouble::Remote(fault) => {
                let kind = match fault.class {
                    FaultClass::Schema | FaultClass::Permission => ErrorKind::Conflict,
                    FaultClass::Data => ErrorKind::Invalid,
                    _ => ErrorKind::Unavailable,
                };
                Self::new(kind, fault.to_string())
            }
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        if let Some(code) = &self.code {
            write!(f, " (SQLSTATE {code})")?;
        }
        if let Some(remedy) = &self.remedy {
            write!(f, "; {remedy}")?;
        }
        Ok(())
    }
}
