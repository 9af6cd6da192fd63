//! One server: its data made by `initdb`, started, found ready, stopped.

use super::account::{Account, command};
use super::files::{Files, tail, write_secret};
use super::find::Programs;
use super::process::{self, Stop};
use super::settings::{Setting, render};
use super::{Report, at, home, launch, unavailable};
use crate::{Error, ErrorKind, Result};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const READY_LIMIT: Duration = Duration::from_secs(60);
/// How long the processes of a server that was killed may take to notice.
const LEFTOVERS_LIMIT: Duration = Duration::from_secs(20);
/// How often a port that was free may be taken a moment later.
const TAKEN_MAX: usize = 5;
/// Ports are looked for below those that systems give to outgoing connections: none of these must take a port while its
/// server is down for a moment.
const PORT_MIN: u16 = 20_000;
const PORTS: u16 = 12_000;

/// Whose life the server's is tied to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Leash {
    /// It stays.
    None,
    /// It ends with the thread that starts it.
    Parent,
}

/// A server that can be started.
pub(super) struct Cluster {
    pub(super) files: Files,
    programs: Programs,
    account: Option<Account>,
}

/// A server that was started from here.
pub(super) struct Server {
    child: Child,
    pub(super) port: u16,
    url: String,
}

/// How a start came out.
enum Attempt {
    Ready(Child),
    /// What the server said of it.
    PortTaken(String),
    /// Processes of a server that was killed are still ending.
    Leftovers(String),
}

impl Cluster {
    /// The cluster in a folder that is there; makes its data if there are none.
    pub(super) fn open(files: Files, programs: Programs) -> Result<Self> {
        let account = Account::of_server()?;
        home::expect_reachable(&files.0, account.as_ref())?;
        let cluster = Self { files, programs, account };
        if cluster.files.version().is_none() {
            cluster.make()?;
        }
        Ok(cluster)
    }

    fn make(&self) -> Result<()> {
        let (making, given) = (self.files.making(), self.files.0.join("password.once"));
        home::remove(&making)?;
        let password = home::secret()?;
        write_secret(&self.files.password(), &password)?;
        // A copy, because `initdb` runs as another user.
        write_secret(&given, &password)?;
        home::make_dir(&making, 0o700)?;
        if let Some(Account { uid, gid, .. }) = self.account {
            for path in [&making, &given] {
                chown(path, Some(uid), Some(gid)).map_err(at("hand over", path))?;
            }
        }
        let initdb = self.programs.program("initdb");
        let mut command = command(&initdb, self.account.as_ref());
        command.args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]);
        command.args(["--no-sync", "--pgdata"]).arg(&making).arg("--pwfile").arg(&given);
        let output = command.current_dir(&self.files.0).stdin(Stdio::null()).output();
        let output = output.map_err(at("run", &initdb))?;
        fs::remove_file(&given).map_err(at("remove", &given))?;
        if !output.status.success() {
            let said = tail(&String::from_utf8_lossy(&output.stderr));
            let message = format!("{} failed ({}) and said:\n{said}", initdb.display(), output.status);
            return Err(unavailable(message));
        }
        let conf = making.join("postgresql.conf");
        let file = OpenOptions::new().append(true).open(&conf);
        let included = file.and_then(|mut file| writeln!(file, "include_if_exists = 'nearfield.conf'"));
        included.map_err(at("write", &conf))?;
        fs::rename(&making, self.files.data()).map_err(at("rename", &making))
    }

    /// Starts the server and waits until it takes connections: on `port` and no other, or on one that is free, best the
    /// one of last time.
    pub(super) fn start(&self, port: Option<u16>, settings: &[Setting], leash: Leash) -> Result<Server> {
        let conf = self.files.data().join("nearfield.conf");
        fs::write(&conf, render(settings)).map_err(at("write", &conf))?;
        let (start, mut taken) = (Instant::now(), 0);
        let mut last = self.files.last_port();
        loop {
            let chosen = match port {
                Some(port) => port,
                None => free_port(last.take())?,
            };
            match self.attempt(chosen, leash)? {
                Attempt::Ready(child) => {
                    let server = Server { child, port: chosen, url: self.files.url(chosen)? };
                    self.files.keep_port(chosen);
                    return Ok(server);
                }
                Attempt::Leftovers(_) if start.elapsed() < LEFTOVERS_LIMIT => last = Some(chosen),
                Attempt::PortTaken(_) if port.is_none() && taken < TAKEN_MAX => taken += 1,
                Attempt::Leftovers(said) => {
                    return Err(self.failed("finds another one at work on its data", &said));
                }
                Attempt::PortTaken(said) => {
                    let message = format!(
                        "port {chosen} of 127.0.0.1 is taken: name another with --port, or leave that away. The \
                         server said:\n{}",
                        tail(&said)
                    );
                    return Err(Error::new(ErrorKind::Conflict, message));
                }
            }
        }
    }

    fn attempt(&self, port: u16, leash: Leash) -> Result<Attempt> {
        let (log, since) = self.files.open_log()?;
        let mut child = self.spawn(port, leash, log)?;
        let (pid, mut ended) = (child.id(), None::<ExitStatus>);
        let is_settled = process::wait_for(READY_LIMIT, || {
            ended = child.try_wait().ok().flatten();
            ended.is_some() || self.files.postmaster().is_some_and(|p| p.pid == pid && p.is_ready)
        });
        if ended.is_none() && is_settled {
            return Ok(Attempt::Ready(child));
        }
        let said = self.files.log_since(since)?;
        let Some(status) = ended else {
            Server::end(child, Stop::Kill);
            return Err(self.failed(&format!("was not ready after {} s", READY_LIMIT.as_secs()), &said));
        };
        if said.contains("is still in use") || said.contains("already exists") {
            Ok(Attempt::Leftovers(said))
        } else if said.contains("Address already in use") {
            Ok(Attempt::PortTaken(said))
        } else {
            Err(self.failed(&format!("ended at once ({status})"), &said))
        }
    }

    fn spawn(&self, port: u16, leash: Leash, log: fs::File) -> Result<Child> {
        let postgres = self.programs.program("postgres");
        let mut command = match leash {
            Leash::None => command(&postgres, self.account.as_ref()),
            Leash::Parent => launch::command(&postgres, self.account.as_ref())?,
        };
        command.args(["-p", &port.to_string(), "-D"]).arg(self.files.data()).current_dir(&self.files.0);
        // A group of its own: what a terminal sends to ours is not meant for the server.
        command.stdin(Stdio::null()).process_group(0);
        let streams = log.try_clone().map_err(at("open", &self.files.log()))?;
        command.stdout(streams).stderr(log).spawn().map_err(at("run", &postgres))
    }

    fn failed(&self, what: &str, said: &str) -> Error {
        unavailable(format!("the server in {} {what}; it said:\n{}", self.files.0.display(), tail(said)))
    }

    /// What the server tells of itself.
    pub(super) fn report<R>(&self, server: &Server, tell: impl FnOnce(&Report<'_>) -> R) -> R {
        tell(&Report {
            url: &server.url,
            pid: server.child.id(),
            port: server.port,
            version: &self.programs.version,
            source: &self.programs.source,
            programs: &self.programs.folder,
            data: &self.files.data(),
            log: &self.files.log(),
        })
    }
}

impl Server {
    /// Stops it and waits until it has ended.
    pub(super) fn stop(self, how: Stop) {
        Self::end(self.child, how);
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    fn end(mut child: Child, how: Stop) {
        // One that has ended by itself is collected, not signalled: its number may be another's.
        if child.try_wait().is_ok_and(|status| status.is_none()) {
            process::stop(child.id(), how);
            let _ = child.wait();
        }
    }
}

/// A port that nobody listens on: the `last` one, or one chosen by chance.
fn free_port(last: Option<u16>) -> Result<u16> {
    let chance = u16::from_str_radix(&home::secret()?[..4], 16).unwrap_or(0);
    let random = (0..PORTS).map(|n| PORT_MIN + (chance % PORTS + n) % PORTS);
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let found = last.into_iter().chain(random).find(is_free);
    found.ok_or_else(|| {
        unavailable(format!("ports {PORT_MIN} to {} of 127.0.0.1 are all taken", PORT_MIN + PORTS - 1))
    })
}
