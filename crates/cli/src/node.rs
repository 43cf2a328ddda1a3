//! A node: an instance and its server in this process, from the first byte to the last.

mod reload;
mod token;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ark_os_api::Shutdown;
use ark_os_core::fleet::profile::FleetPlan;
use ark_os_core::layer::Layer;
use ark_os_core::manifest::parse_duration_ms;
use ark_os_runtime::handle::Stopped;
use ark_os_runtime::{Components, Instance, RuntimeError};
use ark_os_server::{LiveSettings, LogRing, Server, ServerSettings};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::client::{Address, InstanceRecord};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::counted;
pub(crate) use reload::{Running, Source};

/// Requests to shut down that wait to be heard; the first one decides.
const REQUESTS_MAX: usize = 4;
/// The mode of the data directory: names and states of other people's work are in it.
const PRIVATE: u32 = 0o700;

/// In a data directory into which a restore was not finished.
pub(crate) const RESTORING: &str = "restoring";

/// A running node.
pub(crate) struct Node {
    instance: Instance,
    server: Server,
    address: Address,
    requests: mpsc::Receiver<Shutdown>,
    interrupts: Interrupts,
    drain_timeout: Duration,
    /// Its configuration, where that can be read again.
    running: Option<Running>,
}

/// Why a node stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// What runs may come to its end within this time.
    Drain(Duration),
    /// At once; what runs goes on at the next start.
    Now,
    /// The instance failed.
    Failed {
        /// The stable code of the failure.
        code: &'static str,
        /// How, in words.
        message: String,
    },
}

/// The signals that ask a process to end.
struct Interrupts {
    terminate: Signal,
    interrupt: Signal,
    /// Reads the configuration again; where there is none to read, it ends the process as ever.
    hangup: Option<Signal>,
}

impl Interrupts {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Failure::new("internal", format!("cannot listen for signals: {error}"))
            })
        };
        Ok(Interrupts {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: None,
        })
    }

    fn listen_for_hangups(&mut self) -> Result<(), Failure> {
        let hangup = signal(SignalKind::hangup()).map_err(|error| {
            Failure::new("internal", format!("cannot listen for signals: {error}"))
        })?;
        self.hangup = Some(hangup);
        Ok(())
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits for a signal; for ever, where nobody listens for it.
async fn heard(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => _ = signal.recv().await,
        None => std::future::pending().await,
    }
}

/// Waits for a signal that asks the process to end, without a node.
pub(crate) async fn interrupted() -> Result<(), Failure> {
    Interrupts::listen()?.next().await;
    Ok(())
}

impl Node {
    /// Opens the data directory and serves it.
    ///
    /// # Errors
    /// The directory is in use or damaged, or the address cannot be listened on.
    pub(crate) async fn start(
        config: &Config,
        components: Components,
        logs: LogRing,
        running: Option<Running>,
    ) -> Result<Self, Failure> {
        // Before anything else: a signal that comes now must not end the process halfway.
        let mut interrupts = Interrupts::listen()?;
        if running.as_ref().is_some_and(|it| it.is_service) {
            interrupts.listen_for_hangups()?;
        }
        make_private(&config.data_dir)?;
        check_restored(&config.data_dir)?;
        let instance = Instance::start(config.settings(), components)
            .map_err(|error| in_words(error, &config.data_dir))?;
        let live = running.as_ref().map(|running| running.live(instance.handle()));
        match Node::serve(config, &instance, (logs, live.unwrap_or_default())).await {
            Ok((server, address, requests)) => Ok(Node {
                instance,
                server,
                address,
                requests,
                interrupts,
                drain_timeout: config.drain_timeout,
                running,
            }),
            Err(failure) => {
                // Its own failure is what has to be told.
                let _ = instance.stop();
                Err(failure)
            }
        }
    }

    async fn serve(
        config: &Config,
        instance: &Instance,
        (logs, live): (LogRing, LiveSettings),
    ) -> Result<(Server, Address, mpsc::Receiver<Shutdown>), Failure> {
        let data_dir = &config.data_dir;
        let token = token::load_or_make(data_dir)?;
        let (tx, requests) = mpsc::channel(REQUESTS_MAX);
        let on_shutdown = Arc::new(move |request: Shutdown| {
            // Many requests mean the same: the first ones are enough.
            let _ = tx.try_send(request);
        });
        let settings = ServerSettings {
            address: config.listen,
            hosts: hosts(config),
            metrics_retention: config.metrics_retention,
            alert_retention: config.alert_retention,
            health_check_interval: config.health_check_interval,
            logs,
            live,
            ..ServerSettings::new(token.clone())
        };
        if !config.listen.ip().is_loopback() {
            tracing::warn!(
                address = %config.listen,
                "the API can be reached from outside without encryption: there is no TLS yet, so \
                 anybody on the way can read the token"
            );
        }
        let server =
            Server::bind(instance.handle(), settings, on_shutdown).await.map_err(|error| {
                Failure::new("instance_unreachable", format!("cannot {error}"))
                    .with_hint("choose another address with --listen; port 0 takes a free one")
            })?;
        let endpoint = format!("http://{}", near(server.local_addr()));
        let pid = std::process::id();
        let working_dir = std::env::current_dir().ok();
        let record = InstanceRecord { endpoint: endpoint.clone(), pid, working_dir };
        record.store(data_dir)?;
        let data_dir = data_dir.clone();
        let address = Address { endpoint, token: Some(token), data_dir, pid: Some(pid) };
        Ok((server, address, requests))
    }

    /// Where it can be reached.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Agents that its profile has: what is deployed may say another number than the settings.
    ///
    /// # Errors
    /// It has stopped meanwhile.
    pub(crate) async fn agents(&self) -> Result<u32, Failure> {
        let handle = self.instance.handle();
        let profile = handle.read(|kernel| kernel.state().fleet().profile()).await;
        profile.map_err(|error| Failure::new("instance_stopped", error.to_string()))
    }

    /// Waits until somebody asks it to stop, by a signal or a request, or until it fails.
    pub(crate) async fn asked_to_stop(&mut self) -> Stop {
        let handle = self.instance.handle();
        loop {
            let Interrupts { terminate, interrupt, hangup } = &mut self.interrupts;
            tokio::select! {
                _ = terminate.recv() => return Stop::Drain(self.patience()),
                _ = interrupt.recv() => return Stop::Drain(self.patience()),
                () = heard(hangup) => {}
                stopped = handle.stopped() => return match stopped {
                    Stopped::Failed { code, message } => Stop::Failed { code, message },
                    Stopped::Asked => Stop::Now,
                },
                Some(request) = self.requests.recv() => return self.stop_of(&request),
            }
            if let Some(running) = &self.running
                && let Err(failure) = running.reload(&handle, "SIGHUP", "").await
            {
                for (_, line) in failure.lines() {
                    tracing::warn!(reason = line, "the configuration was not read again");
                }
            }
        }
    }

    /// How long a stop waits for what runs, as it is configured now.
    fn patience(&self) -> Duration {
        self.running.as_ref().map_or(self.drain_timeout, Running::drain_timeout)
    }

    fn stop_of(&self, request: &Shutdown) -> Stop {
        if request.now {
            return Stop::Now;
        }
        let asked = request.drain_timeout.as_deref().and_then(parse_duration_ms);
        Stop::Drain(asked.map_or(self.patience(), Duration::from_millis))
    }

    /// Stops it. Whether everything that ran came to its end.
    ///
    /// # Errors
    /// The journal failed; everything that was acknowledged is kept all the same.
    pub(crate) async fn stop(mut self, stop: Stop) -> Result<bool, Failure> {
        let drained = match &stop {
            Stop::Drain(patience) => self.drain(*patience).await,
            Stop::Now | Stop::Failed { .. } => false,
        };
        // The address goes first: from now on nobody is sent here.
        InstanceRecord::remove(&self.address.data_dir);
        self.server.shut_down().await;
        let stopped = self.instance.stop().map_err(Failure::from);
        match stop {
            Stop::Failed { code, message } => Err(failed(code, &message)),
            _ => stopped.map(|()| drained),
        }
    }

    async fn drain(&mut self, patience: Duration) -> bool {
        tracing::info!(patience_ms = patience.as_millis() as u64, "draining");
        tokio::select! {
            // A failure to drain is a failure to stop, which is told there.
            drained = self.instance.drain(patience) => drained.unwrap_or(false),
            // Asked again: no more patience.
            () = self.interrupts.next() => false,
            Some(_) = self.requests.recv() => false,
        }
    }
}

/// What the `Host` header may say besides the loopback's names.
fn hosts(config: &Config) -> Vec<String> {
    let mut hosts = config.hosts.clone();
    match config.listen.ip() {
        ip if ip.is_loopback() || ip.is_unspecified() => {}
        // As a URL has it.
        IpAddr::V6(ip) => hosts.push(format!("[{ip}]")),
        IpAddr::V4(ip) => hosts.push(ip.to_string()),
    }
    hosts
}

/// Where this machine reaches what listens there: nobody calls `0.0.0.0`.
fn near(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// A directory in use is told as such, with who uses it.
fn in_words(error: RuntimeError, data_dir: &Path) -> Failure {
    if error.code() != "data_directory_in_use" {
        return error.into();
    }
    let who = match InstanceRecord::load(data_dir) {
        Some(record) => format!("process {} serves it at {}", record.pid, record.endpoint),
        None => error.to_string(),
    };
    let message = format!("the data directory `{}` is in use: {who}", data_dir.display());
    Failure::new(error.code(), message)
        .with_hint("stop that process (`ark-os shutdown`), or use another with --data-dir")
}

fn failed(code: &str, message: &str) -> Failure {
    Failure::new(code, format!("the instance stopped: {message}"))
        .with_hint("mend what it names, then start again; everything that was acknowledged is kept")
}

/// Makes the data directory for its owner alone, or closes it to others where it is there already.
fn make_private(data_dir: &Path) -> Result<(), Failure> {
    let unusable = |what: &str, error: &dyn std::fmt::Display| {
        let message = format!("cannot {what} the data directory `{}`: {error}", data_dir.display());
        Failure::new("data_directory_unusable", message).with_hint("choose another with --data-dir")
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE)
        .create(data_dir)
        .map_err(|error| unusable("make", &error))?;
    let metadata = std::fs::metadata(data_dir).map_err(|error| unusable("look at", &error))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & !PRIVATE == 0 {
        return Ok(());
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        let why = format!("it belongs to another user and has mode {mode:04o}");
        return Err(unusable("use", &why));
    }
    std::fs::set_permissions(data_dir, std::fs::Permissions::from_mode(PRIVATE))
        .map_err(|error| unusable("close", &error))?;
    tracing::warn!(
        mode = format_args!("{mode:04o}"),
        "others could look into the data directory; it is closed now"
    );
    Ok(())
}

/// Nothing may begin where a restore has put only a part.
fn check_restored(data_dir: &Path) -> Result<(), Failure> {
    if !data_dir.join(RESTORING).exists() {
        return Ok(());
    }
    let message = format!("a restore into `{}` was not finished", data_dir.display());
    Err(Failure::new("data_directory_unusable", message)
        .with_hint("empty the directory and restore again; the backup is as it was"))
}

/// The data directory as an absolute path, so that messages and records say which one is meant.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// `100 agents: 1 cecca, 3 board, …`.
pub(crate) fn fleet_summary(agents: u32) -> String {
    let plan = FleetPlan::for_agents(agents);
    let layers: Vec<_> = Layer::ALL
        .into_iter()
        .map(|layer| match plan.is_held(layer) {
            true => format!("{} by the runtime", layer.as_str()),
            false => format!("{} {}", plan.count(layer), layer.as_str()),
        })
        .collect();
    let agents = counted(agents, "agent");
    format!("fleet of {agents} in six layers: {}", layers.join(", "))
}
