//! The listening socket and its connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ark_os_runtime::Handle;
use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;

use crate::checks::Checks;
use crate::context::{Context, OnShutdown, stopped};
use crate::sampling::Samples;
use crate::settings::ServerSettings;
use crate::{front, routes, tasks};

/// How long a client may take for the head of a request, idle time between two included.
const HEAD_PATIENCE: Duration = Duration::from_secs(120);
/// Pause after the system refused a connection, so that a lack of file descriptors does not burn a
/// processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
#[error("listen on {address}: {source}")]
pub struct BindError {
    address: SocketAddr,
    source: std::io::Error,
}

impl BindError {
    /// Where it was to listen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A running server. Dropping it leaves it running; see [`Server::shut_down`].
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    connections: Arc<Semaphore>,
    connections_max: usize,
    grace: Duration,
}

impl Server {
    /// Listens, and serves the instance behind `handle`. `on_shutdown` is called when somebody asks
    /// the instance to shut down; the server itself goes on until it is told to stop.
    ///
    /// # Errors
    /// The address cannot be listened on, or the token is empty.
    pub async fn bind(
        handle: Handle,
        settings: ServerSettings,
        on_shutdown: OnShutdown,
    ) -> Result<Server, BindError> {
        let address = settings.address;
        let failed = |source| BindError { address, source };
        if settings.token.is_empty() {
            return Err(failed(std::io::Error::other("a server without a token serves nobody")));
        }
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (stop, stopping) = watch::channel(false);
        let (grace, connections_max) = (settings.grace, settings.max_connections.max(1));
        let connections = Arc::new(Semaphore::new(connections_max));
        let context = Context::new(handle, settings, stopping, on_shutdown);
        let accepting = Accepting {
            listener,
            router: routes::router().0.with_state(context.clone()),
            context: context.clone(),
            connections: connections.clone(),
        };
        tasks::spawn(Samples::gather(context.clone()));
        tasks::spawn(Checks::gather(context));
        let accepting = tasks::spawn(accepting.run());
        tracing::info!(%address, "listening");
        Ok(Server { address, stop, accepting, connections, connections_max, grace })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, lets answers under way come to their end for the settings' grace,
    /// and ends the rest. Streams of events end at once; clients go on where they were.
    pub async fn shut_down(self) {
        // Nobody listens any more if the accepting task is gone.
        let _ = self.stop.send(true);
        let _ = self.accepting.await;
        let all = u32::try_from(self.connections_max).unwrap_or(u32::MAX);
        // Who is not done in time is cut off with the runtime.
        let _ = tokio::time::timeout(self.grace, self.connections.acquire_many(all)).await;
    }
}

struct Accepting {
    listener: TcpListener,
    router: Router,
    context: Context,
    connections: Arc<Semaphore>,
}

impl Accepting {
    async fn run(self) {
        let mut stopping = self.context.stopping();
        loop {
            let next = async {
                let permit = self.connections.clone().acquire_owned().await.ok()?;
                Some((self.listener.accept().await, permit))
            };
            let accepted = tokio::select! {
                accepted = next => accepted,
                () = stopped(&mut stopping) => return,
            };
            match accepted {
                Some((Ok((stream, _)), permit)) => {
                    tasks::spawn(serve(stream, self.router.clone(), self.context.clone(), permit));
                }
                Some((Err(error), _)) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    let pause = tokio::time::timeout(ACCEPT_PAUSE, std::future::pending::<()>());
                    // It always runs out.
                    let _ = pause.await;
                }
                None => return,
            }
        }
    }
}

async fn serve(stream: TcpStream, router: Router, context: Context, permit: OwnedSemaphorePermit) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection has Nagle's delay");
    }
    let (counted, mut stopping) = (context.clone(), context.stopping());
    counted.counters().opened();
    let service =
        service_fn(move |request| front::answer(context.clone(), router.clone(), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .pipeline_flush(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Clients go away as they please.
        tracing::debug!(%error, "a connection broke");
    }
    counted.counters().closed();
    drop(permit);
}
