//! The line to the database: it counts bytes, and can hang or refuse.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

/// How often a thread that may not go on looks again.
const LOOK: Duration = Duration::from_millis(5);
const CHUNK: usize = 64 << 10;

/// What the line does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Pass,
    /// Nothing arrives, and nothing ends.
    Hang,
    /// Connections end at once.
    Refuse,
    /// Connections end, and new ones are taken and hear nothing.
    Hole,
}

/// It ends when it is dropped.
pub(super) struct Relay {
    shared: Arc<Shared>,
    pub(super) address: SocketAddr,
}

struct Shared {
    server: SocketAddr,
    mood: AtomicU8,
    bytes: AtomicU64,
    is_over: AtomicBool,
}

impl Relay {
    /// To the server at `host:port`.
    pub(super) fn to(server: &str) -> io::Result<Self> {
        let server = server.to_socket_addrs()?.next().ok_or(ErrorKind::NotFound)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            server,
            mood: AtomicU8::new(Mood::Pass as u8),
            bytes: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let here = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if here.is_over.load(Ordering::Acquire) {
                    return;
                }
                if here.is(Mood::Hole) {
                    here.keep(client);
                } else if !here.is(Mood::Refuse) {
                    // A server that is not there is a line that ends.
                    let _ = here.open(client);
                }
            }
        });
        Ok(Self { shared, address })
    }

    pub(super) fn set(&self, mood: Mood) {
        self.shared.mood.store(mood as u8, Ordering::Release);
    }

    /// Both ways, so far.
    pub(super) fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        // Wakes the listener, which looks.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn is(&self, mood: Mood) -> bool {
        self.mood.load(Ordering::Acquire) == mood as u8
    }

    /// Holds a line, and says nothing on it, for as long as it is a hole.
    fn keep(self: &Arc<Self>, client: TcpStream) {
        let shared = self.clone();
        std::thread::spawn(move || {
            while shared.is(Mood::Hole) && !shared.is_over.load(Ordering::Acquire) {
                std::thread::sleep(LOOK);
            }
            drop(client);
        });
    }

    fn open(self: &Arc<Self>, client: TcpStream) -> io::Result<()> {
        let server = TcpStream::connect(self.server)?;
        for socket in [&client, &server] {
            socket.set_nodelay(true)?;
            socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        }
        for (from, to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
            let shared = self.clone();
            std::thread::spawn(move || {
                // How it ended is for both sides to see.
                let _ = shared.carry(&from, &to);
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
        Ok(())
    }

    fn carry(&self, mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK];
        while !self.is(Mood::Refuse) && !self.is(Mood::Hole) && !self.is_over.load(Ordering::Acquire) {
            if self.is(Mood::Hang) {
                std::thread::sleep(LOOK);
                continue;
            }
            let len = match from.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(len) => len,
                Err(e)
                    if [ErrorKind::WouldBlock, ErrorKind::TimedOut, ErrorKind::Interrupted]
                        .contains(&e.kind()) =>
                {
                    continue;
                }
                Err(e) => return Err(e),
            };
            to.write_all(&chunk[..len])?;
            self.bytes.fetch_add(len as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}
