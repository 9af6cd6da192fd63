//! A TCP proxy that does what networks do to a connection: delay, throttle, swallow, cut, refuse. All of it can be changed
//! while connections are open. Bytes are counted in each direction.
//!
//! A connection has two ways, each with a thread that reads and one that delivers: what is delayed does not keep the next
//! bytes from being read, so a delay is latency and not a limit of throughput.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const CHUNK: usize = 16 << 10;
/// Chunks on their way; more stay in the sender's socket, and then in the sender.
const UNDER_WAY_MAX: usize = 64;
/// How long a write to a peer that does not read may block before it is looked whether the connection is cut.
const WRITE_LIMIT: Duration = Duration::from_millis(50);

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    ToServer,
    ToClient,
}

/// What has passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) connections: u64,
    pub(crate) to_server: u64,
    pub(crate) to_client: u64,
    /// Connections that a rule has cut.
    pub(crate) cuts: u64,
}

/// A proxy before one server. It ends, with all connections, when it is dropped.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    here: SocketAddr,
    rules: Mutex<Rules>,
    /// Told of every change of a rule and of every end.
    changed: Condvar,
    numbers: AtomicU64,
    connections: AtomicU64,
    cuts: AtomicU64,
    bytes: [AtomicU64; 2],
}

#[derive(Default)]
struct Rules {
    delay: Duration,
    bytes_per_second: Option<u64>,
    holes: [bool; 2],
    is_silent: bool,
    /// None while connections are refused.
    door: Option<Door>,
    cut: Option<Cut>,
    links: HashMap<u64, Arc<Link>>,
}

/// Where connections come in.
struct Door {
    listener: Arc<TcpListener>,
    thread: JoinHandle<()>,
}

/// A rule that holds once.
enum Cut {
    After(Way, u64),
    Request(Vec<u8>),
    Answer(Vec<u8>),
}

/// What is to be done with bytes that are due.
enum Verdict {
    Pass,
    /// So many, and then the connection is cut.
    Part(usize),
    /// All of them, and nothing comes back.
    LastHeard,
}

/// Two sockets that are joined.
struct Link {
    number: u64,
    client: TcpStream,
    server: TcpStream,
    is_cut: AtomicBool,
    /// The server's next bytes are its answer to a request whose answer is to be lost.
    is_answer_lost: AtomicBool,
}

impl Proxy {
    /// Before the server of a URL.
    pub(crate) fn before(url: &str) -> Self {
        let address = address(url);
        Self::to(address.parse().unwrap_or_else(|_| panic!("{address} is no address")))
    }

    pub(crate) fn to(server: SocketAddr) -> Self {
        let listener = listener();
        let shared = Arc::new(Shared {
            server,
            here: listener.local_addr().unwrap(),
            rules: Mutex::default(),
            changed: Condvar::new(),
            numbers: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
            bytes: [const { AtomicU64::new(0) }; 2],
        });
        let proxy = Self { shared };
        proxy.accept(listener);
        proxy
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.shared.here
    }

    /// The URL of the same database, by way of this proxy.
    pub(crate) fn url(&self, url: &str) -> String {
        url.replacen(address(url), &self.shared.here.to_string(), 1)
    }

    /// Everything arrives so much later, in both directions.
    pub(crate) fn delay(&self, delay: Duration) {
        self.change(|rules| rules.delay = delay);
    }

    /// So many bytes a second, each connection and direction by itself.
    pub(crate) fn throttle(&self, bytes_per_second: Option<u64>) {
        self.change(|rules| rules.bytes_per_second = bytes_per_second);
    }

    /// Nothing arrives that way any more, and no connection ends. What came meanwhile arrives when it is lifted.
    pub(crate) fn black_hole(&self, way: Way, is_on: bool) {
        self.change(|rules| rules.holes[way as usize] = is_on);
    }

    /// New connections are accepted, and then nothing: no server hears of them.
    pub(crate) fn silence(&self, is_on: bool) {
        self.change(|rules| rules.is_silent = is_on);
    }

    /// Resets the connection that carries the `bytes`-th byte from now on that way, after that byte. Once.
    pub(crate) fn cut_after(&self, way: Way, bytes: u64) {
        self.change(|rules| rules.cut = Some(Cut::After(way, bytes)));
    }

    /// Resets the connection on which the client sends `pattern`: the server does not hear it. Once.
    pub(crate) fn lose_request(&self, pattern: impl Into<Vec<u8>>) {
        self.change(|rules| rules.cut = Some(Cut::Request(pattern.into())));
    }

    /// Resets the connection on which the client sends `pattern`, when the server has heard it and answers: the client
    /// does not hear the answer. Once.
    pub(crate) fn lose_answer(&self, pattern: impl Into<Vec<u8>>) {
        self.change(|rules| rules.cut = Some(Cut::Answer(pattern.into())));
    }

    /// Resets all connections, now.
    pub(crate) fn reset(&self) {
        let links: Vec<_> = self.shared.rules().links.values().cloned().collect();
        links.iter().for_each(|link| self.shared.cut(link));
    }

    /// Connections are refused, those that are open stay.
    pub(crate) fn refuse(&self) {
        let door = self.shared.rules().door.take();
        if let Some(Door { listener, thread }) = door {
            // Programs that are being started hold copies for a moment: the socket is to listen no more, whoever still has it open.
            rustix::net::shutdown(&*listener, rustix::net::Shutdown::Both).unwrap();
            // A panic there has been told by then.
            let _ = thread.join();
        }
    }

    /// Connections are accepted again.
    pub(crate) fn listen(&self) {
        if self.listener().is_none() {
            self.accept(TcpListener::bind(self.shared.here).unwrap());
        }
    }

    pub(crate) fn listener(&self) -> Option<Arc<TcpListener>> {
        self.shared.rules().door.as_ref().map(|door| door.listener.clone())
    }

    pub(crate) fn counts(&self) -> Counts {
        let get = |count: &AtomicU64| count.load(Ordering::SeqCst);
        Counts {
            connections: get(&self.shared.connections),
            to_server: get(&self.shared.bytes[Way::ToServer as usize]),
            to_client: get(&self.shared.bytes[Way::ToClient as usize]),
            cuts: get(&self.shared.cuts),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.shared.rules());
        self.shared.changed.notify_all();
    }

    fn accept(&self, listener: TcpListener) {
        let listener = Arc::new(listener);
        let (ours, shared) = (listener.clone(), Arc::clone(&self.shared));
        let thread = thread::spawn(move || {
            for client in ours.incoming() {
                match client {
                    Ok(client) => shared.open(client),
                    // It listens no more.
                    Err(e) if e.kind() == ErrorKind::InvalidInput => break,
                    Err(e) => panic!("{e}"),
                }
            }
        });
        self.shared.rules().door = Some(Door { listener, thread });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.refuse();
        self.reset();
    }
}

impl Shared {
    fn rules(&self) -> MutexGuard<'_, Rules> {
        // A test that failed is no reason to fail again while it is cleaned up.
        self.rules.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn open(self: &Arc<Self>, client: TcpStream) {
        let number = self.numbers.fetch_add(1, Ordering::SeqCst);
        let is_silent = self.rules().is_silent;
        // One to itself stands for the server that nobody reaches.
        let to = if is_silent { None } else { TcpStream::connect(self.server).ok() };
        let Some(server) = to.or_else(|| is_silent.then(|| client.try_clone().unwrap())) else { return };
        for socket in [&client, &server] {
            socket.set_nodelay(true).unwrap();
            socket.set_write_timeout(Some(WRITE_LIMIT)).unwrap();
        }
        let (is_cut, is_answer_lost) = (AtomicBool::new(false), AtomicBool::new(false));
        let link = Arc::new(Link { number, client, server, is_cut, is_answer_lost });
        self.rules().links.insert(number, Arc::clone(&link));
        // From here on it is reset with all others.
        self.connections.fetch_add(1, Ordering::SeqCst);
        if is_silent {
            return;
        }
        for way in [Way::ToServer, Way::ToClient] {
            let (sender, receiver) = sync_channel(UNDER_WAY_MAX);
            let (link_read, link, shared) = (Arc::clone(&link), Arc::clone(&link), Arc::clone(self));
            thread::spawn(move || link_read.read(way, &sender));
            thread::spawn(move || shared.deliver(&link, way, &receiver));
        }
    }

    /// Delivers what was read, when the rules let it.
    fn deliver(&self, link: &Link, way: Way, receiver: &Receiver<(Instant, Vec<u8>)>) {
        let mut before = Vec::new();
        for (arrived, chunk) in receiver {
            let Some(verdict) = self.judge(link, way, arrived, &mut before, &chunk) else { return };
            let len = if let Verdict::Part(len) = verdict { len } else { chunk.len() };
            if matches!(verdict, Verdict::LastHeard) {
                link.is_answer_lost.store(true, Ordering::SeqCst);
            }
            let is_written = self.write(link, way, &chunk[..len]);
            if !is_written || matches!(verdict, Verdict::Part(_)) {
                self.cuts.fetch_add(u64::from(is_written), Ordering::SeqCst);
                return self.cut(link);
            }
        }
        if link.is_cut.load(Ordering::SeqCst) {
            return;
        }
        // The end of one way is not the end of the other.
        let _ = link.target(way).shutdown(Shutdown::Write);
        if way == Way::ToClient {
            self.rules().links.remove(&link.number);
        }
    }

    /// Waits until `chunk` is due; what is to be done then, or none when the connection is cut.
    fn judge(
        &self,
        link: &Link,
        way: Way,
        arrived: Instant,
        before: &mut Vec<u8>,
        chunk: &[u8],
    ) -> Option<Verdict> {
        let mut rules = self.rules();
        loop {
            if link.is_cut.load(Ordering::SeqCst) {
                return None;
            }
            let wait = (arrived + rules.delay).saturating_duration_since(Instant::now());
            rules = match (rules.holes[way as usize], wait) {
                (true, _) => self.changed.wait(rules).unwrap(),
                (false, Duration::ZERO) => break,
                (false, wait) => self.changed.wait_timeout(rules, wait).unwrap().0,
            };
        }
        if way == Way::ToClient && link.is_answer_lost.load(Ordering::SeqCst) {
            return Some(Verdict::Part(0));
        }
        let verdict = rules.verdict(way, before, chunk);
        let pattern_len = match &rules.cut {
            Some(Cut::Request(pattern) | Cut::Answer(pattern)) => pattern.len(),
            _ => 0,
        };
        before.extend_from_slice(chunk);
        before.drain(..before.len().saturating_sub(pattern_len.saturating_sub(1)));
        Some(verdict)
    }

    /// False if the connection is no more.
    fn write(&self, link: &Link, way: Way, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let limit = self.rules().bytes_per_second;
            // Twenty pieces a second.
            let piece = limit.map_or(bytes.len(), |limit| bytes.len().min((limit / 20).max(1) as usize));
            match link.target(way).write(&bytes[..piece]) {
                Ok(written) => {
                    self.bytes[way as usize].fetch_add(written as u64, Ordering::SeqCst);
                    bytes = &bytes[written..];
                    if let Some(limit) = limit {
                        self.pause(link, Duration::from_secs_f64(written as f64 / limit as f64));
                    }
                }
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_) => return false,
            }
            if link.is_cut.load(Ordering::SeqCst) {
                return false;
            }
        }
        true
    }

    fn pause(&self, link: &Link, time: Duration) {
        let end = Instant::now() + time;
        let mut rules = self.rules();
        while !link.is_cut.load(Ordering::SeqCst) && Instant::now() < end {
            let left = end.saturating_duration_since(Instant::now());
            rules = self.changed.wait_timeout(rules, left).unwrap().0;
        }
    }

    /// Resets both sides as soon as the threads have let go of them.
    fn cut(&self, link: &Link) {
        link.is_cut.store(true, Ordering::SeqCst);
        for socket in [&link.client, &link.server] {
            // Without lingering, closing sends a reset. Who reads here is woken; the peer hears nothing of that.
            let _ = rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO));
            let _ = socket.shutdown(Shutdown::Read);
        }
        let mut rules = self.rules();
        rules.links.remove(&link.number);
        drop(rules);
        self.changed.notify_all();
    }
}

impl Rules {
    fn verdict(&mut self, way: Way, before: &[u8], chunk: &[u8]) -> Verdict {
        let holds = |pattern: &[u8]| {
            let text = [before, chunk].concat();
            way == Way::ToServer && text.windows(pattern.len()).any(|window| window == pattern)
        };
        let verdict = match &mut self.cut {
            Some(Cut::After(cut, left)) if *cut == way => match usize::try_from(*left) {
                Ok(left) if left <= chunk.len() => Verdict::Part(left),
                _ => {
                    *left -= chunk.len() as u64;
                    return Verdict::Pass;
                }
            },
            Some(Cut::Request(pattern)) if holds(pattern) => Verdict::Part(0),
            Some(Cut::Answer(pattern)) if holds(pattern) => Verdict::LastHeard,
            _ => return Verdict::Pass,
        };
        self.cut = None;
        verdict
    }
}

impl Link {
    fn target(&self, way: Way) -> &TcpStream {
        match way {
            Way::ToServer => &self.server,
            Way::ToClient => &self.client,
        }
    }

    fn read(&self, way: Way, sender: &SyncSender<(Instant, Vec<u8>)>) {
        let mut source = match way {
            Way::ToServer => &self.client,
            Way::ToClient => &self.server,
        };
        let mut chunk = vec![0; CHUNK];
        while let Ok(len @ 1..) = source.read(&mut chunk) {
            if sender.send((Instant::now(), chunk[..len].to_vec())).is_err() {
                return;
            }
        }
    }
}

/// Host and port of a URL.
fn address(url: &str) -> &str {
    let rest = url.split_once("://").expect("a URL").1;
    let authority = rest.split(['/', '?']).next().unwrap();
    authority.rsplit('@').next().unwrap()
}

/// On a port below those of outgoing connections, and each on one of its own: nobody takes it while connections are refused.
fn listener() -> TcpListener {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let start = u64::from(std::process::id()) * 64 + NEXT.fetch_add(1, Ordering::Relaxed);
    let ports = (0..5_000).map(|n| 15_000 + ((start + n) % 5_000) as u16);
    let bound = ports.into_iter().find_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
    bound.expect("a port of 15000 to 19999 is free")
}
