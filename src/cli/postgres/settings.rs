//! What `postgresql.conf` says beyond what `initdb` wrote.

use std::fmt::Write;
use std::str::FromStr;

/// For a server whose data can be made again, on a machine that does something else.
const OURS: &str = "\
# Written by `nearfield postgres`, anew at every start.
# From this machine alone, by TCP: there is no socket whose folder others could enter.
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
# A power loss may destroy this cluster; a killed server does not, because the system keeps what it wrote. That is the price
# of tests that do not wait for the disk. Never do this to data that cannot be made again.
fsync = off
full_page_writes = off
shared_buffers = '32MB'
max_connections = 100
max_wal_size = '256MB'
# Compiling a query takes longer than running a small one.
jit = off
";

/// One setting, as `--set NAME=VALUE` gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    name: String,
    value: String,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| format!("{text:?} has no `=`: write NAME=VALUE, such as max_connections=50"))?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(format!(
                "{name:?} is no name of a setting: those have letters, digits, `_` and `.` only"
            ));
        }
        if value.chars().any(char::is_control) {
            return Err(format!("the value of {name} has a control character: {value:?}"));
        }
        if ["port", "data_directory", "config_file", "hba_file"].contains(&name.to_ascii_lowercase().as_str())
        {
            return Err(format!("{name} is set by nearfield itself: use --port or --dir"));
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

impl Setting {
    /// As the command line takes it.
    pub(super) fn argument(&self) -> String {
        format!("--set={}={}", self.name, self.value)
    }
}

/// The whole file. What comes later wins.
pub(super) fn render(settings: &[Setting]) -> String {
    let mut text = OURS.to_owned();
    for Setting { name, value } in settings {
        let value = value.replace('\\', "\\\\").replace('\'', "''");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name} = '{value}'");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_quoted_and_comes_last() {
        let setting: Setting = r"search_path=a'b\c".parse().unwrap();
        assert!(render(&[setting]).ends_with("jit = off\nsearch_path = 'a''b\\\\c'\n"));
    }

    #[test]
    fn what_is_no_setting_is_refused_with_a_reason() {
        for (text, why) in [
            ("jit", "has no `=`"),
            ("=on", "no name of a setting"),
            ("a b=1", "no name of a setting"),
            ("jit=on\nfsync=on", "control character"),
            ("Port=1", "use --port"),
        ] {
            let refused = text.parse::<Setting>().unwrap_err();
            assert!(refused.contains(why), "{text:?}: {refused}");
        }
    }
}
