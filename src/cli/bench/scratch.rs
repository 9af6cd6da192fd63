//! A folder for stores that are measured and thrown away.

use crate::{Error, ErrorKind, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Removed with all that is in it.
pub(super) struct Scratch {
    folder: PathBuf,
    /// The folder it stands in, if that was made for it.
    made: Option<PathBuf>,
}

impl Scratch {
    /// A new folder inside of `parent`: on the disk that is to be measured.
    pub(super) fn inside(parent: &Path) -> Result<Self> {
        let cannot = |path: &Path, e| {
            let message = format!("the folder {} cannot be made; name another with --data", path.display());
            Error::new(ErrorKind::Unavailable, message).with_source(e)
        };
        let made = (!parent.exists()).then(|| parent.to_owned());
        fs::create_dir_all(parent).map_err(|e| cannot(parent, e))?;
        let mut n = 0;
        loop {
            let folder = parent.join(format!("bench-{}-{n}", std::process::id()));
            match fs::create_dir(&folder) {
                Ok(()) => return Ok(Self { folder, made }),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => n += 1,
                Err(e) => return Err(cannot(&folder, e)),
            }
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed says by its name whose it is.
        let _ = fs::remove_dir_all(&self.folder);
        if let Some(made) = &self.made {
            let _ = fs::remove_dir(made);
        }
    }
}
