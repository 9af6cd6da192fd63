//! A port of our own: who is connected, for how long, and how it all ends.
//!
//! Invariants: no port is open to others without a token; a peer that does not say, take or end something in time is left; when the
//! server ends, no new request begins, those under way finish until the deadline, and nothing waits beyond it.

use super::app::App;
use super::gate::Peer;
use super::options::Options;
use super::router::whole;
use super::side::Mirror;
use super::stall::Watched;
use crate::{Error, ErrorKind, Result, Store};
use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::future::{Future, poll_fn};
use std::net::{SocketAddr, TcpListener};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower_service::Service;

/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Headers of a request.
const HEADERS_MAX: usize = 100;
/// After a failure to accept, as when no descriptor is left.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// Of the deadline, for those who are told then that nobody waits: they put down what they hold.
const MOMENT: Duration = Duration::from_millis(100);
/// Threads beside those that serve sockets: one that stands in for a thread which a search has, and one for the end.
const STAND_INS: usize = 2;
/// What a connection beyond the limit hears.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A server that is bound and not running yet.
pub struct Server {
    listener: TcpListener,
    addr: SocketAddr,
    app: App,
}

/// A server that runs on threads of its own. When it is dropped, it ends.
pub struct Running {
    addr: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<Result<()>>>,
}

/// Serves a store, and its mirror if it has one, until `stop` is there. Requests that are under way then have
/// [`Options::shutdown_ms`] to end. The store and the mirror stay open: whoever opened them closes them.
pub async fn serve(
    store: Store,
    mirror: Option<Mirror>,
    options: Options,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    Server::bind(store, mirror, options)?.run(stop).await
}

impl Server {
    /// Takes the port. Refuses an address that others can reach if there is no token.
    pub fn bind(store: Store, mirror: Option<Mirror>, options: Options) -> Result<Self> {
        options.validate()?;
        options.check_bind()?;
        let cannot = |e| {
            let message = format!("{} cannot be listened on; name another address or port", options.bind);
            Error::new(ErrorKind::Unavailable, message).with_source(e)
        };
        let listener = TcpListener::bind(options.bind).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        let addr = listener.local_addr().map_err(cannot)?;
        if !addr.ip().is_loopback() {
            tracing::warn!(%addr, "tokens and data travel in clear text: put a proxy with TLS in front");
        }
        let app = App::new(store, mirror, options, true)?;
        Ok(Self { listener, addr, app })
    }

    /// Where it listens: the port that was found, if none was named.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// A handle that changes what can change while the server runs.
    pub fn settings(&self) -> LiveSettings {
        LiveSettings(self.app.clone())
    }

    /// Serves until `stop` is there, and ends.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<()> {
        let Self { listener, addr, app } = self;
        let cannot = |e| Error::new(ErrorKind::Unavailable, "the port cannot be served").with_source(e);
        let listener = tokio::net::TcpListener::from_std(listener).map_err(cannot)?;
        tracing::info!(%addr, "listening");
        let router = whole(&app);
        let max = app.options.connections_max;
        let places = Arc::new(Semaphore::new(max));
        let (ending, _) = watch::channel(false);
        let mut stop = pin!(stop);
        while let Some(accepted) = unless(stop.as_mut(), listener.accept()).await {
            match accepted {
                Ok((socket, peer)) => match places.clone().try_acquire_owned() {
                    Ok(place) => {
                        let connection =
                            Connection { app: app.clone(), peer, ending: ending.subscribe(), _place: place };
                        tokio::spawn(connection.serve(socket, router.clone()));
                    }
                    Err(_) => {
                        app.metrics.connections_refused.fetch_add(1, Ordering::Relaxed);
                        // Whether it is heard or not.
                        let _ = socket.try_write(FULL);
                    }
                },
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
        drop(listener);
        app.is_ending.store(true, Ordering::Relaxed);
        app.jobs.stop();
        app.embedding.tell_to_end();
        ending.send_replace(true);
        let all = places.acquire_many(u32::try_from(max).unwrap_or(u32::MAX));
        let deadline = Duration::from_millis(app.options.shutdown_ms);
        let patience = deadline - MOMENT.min(deadline / 4);
        let now = Instant::now();
        if tokio::time::timeout(patience, all).await.is_err() {
            let left = max - places.available_permits();
            tracing::warn!(left, "connections were cut: their requests took too long");
        }
        // A panic there has been told by then.
        let _ = tokio::task::spawn_blocking(move || app.end(now + patience, now + deadline)).await;
        tracing::info!("ended");
        Ok(())
    }

    /// Threads that serve sockets, for this server and nobody else.
    pub(crate) fn runtime(&self) -> Result<tokio::runtime::Runtime> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(self.app.options.io_threads).max_blocking_threads(STAND_INS);
        let built = builder.thread_name("nearfield-io").enable_all().build();
        let runtime = built.map_err(|e| {
            Error::new(ErrorKind::Unavailable, "the server's threads cannot be started").with_source(e)
        })?;
        self.app.alone.want();
        Ok(runtime)
    }

    /// Serves on threads of its own.
    pub fn start(self) -> Result<Running> {
        let addr = self.addr;
        let runtime = self.runtime()?;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let body = move || {
            let served = runtime.block_on(self.run(async {
                // Dropped, it says the same.
                let _ = stopped.await;
            }));
            // What is cut is not waited for.
            runtime.shutdown_background();
            served
        };
        let thread = std::thread::Builder::new().name("nearfield-server".into()).spawn(body);
        let thread = thread.map_err(|e| {
            Error::new(ErrorKind::Unavailable, "a thread of the server cannot be started").with_source(e)
        })?;
        Ok(Running { addr, stop: Some(stop), thread: Some(thread) })
    }
}

impl LiveSettings {
    /// Takes over the tokens and the limits of requests; they hold from the next request on. Everything else of the options
    /// holds from the next start. Refuses, and changes nothing, what cannot work, or would open a closed server to everybody.
    pub fn change(&self, options: &Options) -> Result<()> {
        self.0.change(options)
    }
}

impl Running {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Ends it, and waits for that: no longer than [`Options::shutdown_ms`].
    pub fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        drop(self.stop.take());
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let lost = |_| Error::new(ErrorKind::Internal, "the server's thread panicked; please report this");
        thread.join().map_err(lost)?
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Whoever wants to know how it ended calls `stop`.
        let _ = self.end();
    }
}

/// Changes a server that runs.
#[derive(Clone)]
pub struct LiveSettings(App);

/// One peer.
struct Connection {
    app: App,
    peer: SocketAddr,
    ending: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve(mut self, socket: TcpStream, router: Router) {
        let app = self.app.clone();
        app.metrics.connections.fetch_add(1, Ordering::Relaxed);
        // Answers are written whole.
        let _ = socket.set_nodelay(true);
        let limits = &app.limits();
        let peer = self.peer;
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer.ip()));
            let mut router = router.clone();
            router.call(request)
        });
        let socket = TokioIo::new(Watched::new(socket, limits.stall()));
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(limits.header_ms))
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEAD_BYTES_MAX);
        let mut connection = pin!(builder.serve_connection(socket, service));
        let ending = &mut self.ending;
        let done = match unless(pin!(ending.wait_for(|ending| *ending)), connection.as_mut()).await {
            Some(done) => done,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = done {
            tracing::debug!(%peer, %error, "a connection broke off");
        }
        app.metrics.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The outcome of `work`; nothing if `stop` is there first.
async fn unless<S: Future, W: Future>(mut stop: Pin<&mut S>, work: W) -> Option<W::Output> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if stop.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        work.as_mut().poll(cx).map(Some)
    })
    .await
}

#[cfg(test)]
mod tests;
