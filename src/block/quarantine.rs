//! Keeps bytes that failed their checksum, as evidence for people. Nothing ever reads them.

use crate::disk::{Disk, SectionsFile, fault, publish, temporary};
use crate::error::{Error, ErrorKind, Result};

const FOLDER: &str = "quarantine";

/// Copies a bad piece of `file` to the quarantine and returns where it is. A piece that is there already is left alone.
pub(crate) fn quarantine(disk: &dyn Disk, file: &SectionsFile, piece: u32) -> Result<String> {
    let range = file.piece_range(piece);
    let Some(bytes) = file.map().bytes().get(range.clone()).filter(|bytes| !bytes.is_empty()) else {
        let message = format!("{} has no piece {piece}; please report this", file.path());
        return Err(Error::new(ErrorKind::Internal, message));
    };
    // Files of two collections can have the same name.
    let name = file.path().replace('/', "-");
    let path = format!("{FOLDER}/{name}-piece-{piece}-{}", range.len());
    match disk.len(&path) {
        Ok(_) => return Ok(path),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(fault("look for", &path, e)),
    }
    disk.make_dir(FOLDER).map_err(|e| fault("make", FOLDER, e))?;
    let tmp = temporary(disk, &path)?;
    let copy = disk.create(&tmp).map_err(|e| fault("create", &tmp, e))?;
    if let Err(e) = copy.write_at(0, bytes).and_then(|()| copy.sync()) {
        let _ = disk.remove(&tmp);
        return Err(fault("write", &path, e));
    }
    publish(disk, &tmp, &path)?;
    disk.sync_dir(FOLDER).map_err(|e| fault("sync", FOLDER, e))?;
    Ok(path)
}
