//! What every route has at hand.

use std::sync::Arc;

use ark_os_api::Shutdown;
use ark_os_core::text::Text;
use ark_os_runtime::clock::Clock;
use ark_os_runtime::{Handle, RuntimeError};
use tokio::sync::watch;

use crate::checks::Checks;
use crate::counters::Counters;
use crate::overview::FleetCount;
use crate::past::Pasts;
use crate::sampling::Samples;
use crate::settings::ServerSettings;
use crate::trace::Tracers;

/// Called when somebody asks the instance to shut down.
pub type OnShutdown = Arc<dyn Fn(Shutdown) + Send + Sync>;

/// Shared by all routes; cheap to clone.
#[derive(Clone)]
pub(crate) struct Context {
    shared: Arc<Shared>,
}

struct Shared {
    handle: Handle,
    settings: ServerSettings,
    counters: Counters,
    namespace: Text,
    stopping: watch::Receiver<bool>,
    on_shutdown: OnShutdown,
    openapi: String,
    pasts: Pasts,
    tracers: Tracers,
    fleet_count: FleetCount,
    samples: Samples,
    checks: Checks,
    clock: Clock,
}

impl Context {
    pub(crate) fn new(
        handle: Handle,
        settings: ServerSettings,
        stopping: watch::Receiver<bool>,
        on_shutdown: OnShutdown,
    ) -> Self {
        let shared = Shared {
            handle,
            settings,
            counters: Counters::default(),
            namespace: Text::from("default"),
            stopping,
            on_shutdown,
            openapi: crate::openapi_json(),
            pasts: Pasts::default(),
            tracers: Tracers::default(),
            fleet_count: FleetCount::default(),
            samples: Samples::default(),
            checks: Checks::default(),
            clock: Clock::new(),
        };
        Context { shared: Arc::new(shared) }
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.shared.handle
    }

    pub(crate) fn settings(&self) -> &ServerSettings {
        &self.shared.settings
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// The namespace where nobody asks.
    pub(crate) fn namespace(&self) -> &Text {
        &self.shared.namespace
    }

    pub(crate) fn openapi(&self) -> &str {
        &self.shared.openapi
    }

    /// Turns true when the server is told to stop.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.shared.stopping.clone()
    }

    /// Past runs that were asked for lately.
    pub(crate) fn pasts(&self) -> &Pasts {
        &self.shared.pasts
    }

    /// Where pages of traces ended lately.
    pub(crate) fn tracers(&self) -> &Tracers {
        &self.shared.tracers
    }

    /// The newest count of the fleet.
    pub(crate) fn fleet_count(&self) -> &FleetCount {
        &self.shared.fleet_count
    }

    /// The counters of the last minutes.
    pub(crate) fn samples(&self) -> &Samples {
        &self.shared.samples
    }

    /// What could not be had at the newest look.
    pub(crate) fn checks(&self) -> &Checks {
        &self.shared.checks
    }

    /// The clock, for those who only show it.
    pub(crate) fn clock(&self) -> Clock {
        self.shared.clock
    }

    pub(crate) fn shut_down(&self, how: Shutdown) {
        (self.shared.on_shutdown)(how);
    }

    /// Waits until the views show everything that is durable now, so that a list after a 202 has
    /// what was accepted.
    pub(crate) async fn views_caught_up(&self) -> Result<(), RuntimeError> {
        self.handle().views_caught_up().await
    }
}

impl Context {
    /// Waits, but not beyond the server's end: whoever waits for others does not hold up a server that stops.
    pub(crate) async fn unless_stopping<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        let mut stopping = self.stopping();
        tokio::select! {
            it = wait => Some(it),
            () = stopped(&mut stopping) => None,
        }
    }
}

/// Waits until the server is told to stop, or is gone.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // The guard it gives must not be held by whoever waits.
    let _ = stopping.wait_for(|stop| *stop).await;
}
