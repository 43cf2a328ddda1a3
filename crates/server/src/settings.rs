//! Settings of the server: plain data.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::live::LiveSettings;
use crate::log_ring::LogRing;

/// Where nobody asks for another port.
pub const PORT: u16 = 7341;
/// Bytes of a request's body, and of one line of a batch, where nobody asks for another limit. A
/// plan has at most 1 000 tasks; inputs larger than this are better passed as paths.
pub const BODY_BYTES_MAX: usize = 16 << 20;
/// Connections at one time where nobody asks for another limit; more wait in the system's queue.
pub const CONNECTIONS_MAX: usize = 4_096;

/// How the server is run.
#[derive(Clone)]
pub struct ServerSettings {
    /// Where to listen; port 0: any that is free.
    pub address: SocketAddr,
    /// What callers have to present as `Authorization: Bearer …`.
    pub token: String,
    /// Bytes of a request's body, and of one line of a batch.
    pub max_body_bytes: usize,
    /// Names besides the loopback's under which the instance may be reached.
    pub hosts: Vec<String>,
    /// Connections at one time.
    pub max_connections: usize,
    /// How long answers under way may take once the server is told to stop.
    pub grace: Duration,
    /// How long the numbers of a minute are kept.
    pub metrics_retention: Duration,
    /// How long an escalation that is over is shown.
    pub alert_retention: Duration,
    /// Between two looks at whether what agents work with can be had.
    pub health_check_interval: Duration,
    /// The newest lines of the log, which whoever writes it puts there.
    pub logs: LogRing,
    /// The instance's configuration.
    pub live: LiveSettings,
}

impl ServerSettings {
    /// The defaults, for a token.
    pub fn new(token: impl Into<String>) -> Self {
        ServerSettings {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT),
            token: token.into(),
            max_body_bytes: BODY_BYTES_MAX,
            hosts: Vec::new(),
            max_connections: CONNECTIONS_MAX,
            grace: Duration::from_secs(5),
            metrics_retention: Duration::from_secs(7 * 24 * 3_600),
            alert_retention: Duration::from_secs(30 * 24 * 3_600),
            health_check_interval: Duration::from_secs(30),
            logs: LogRing::default(),
            live: LiveSettings::default(),
        }
    }
}

/// The token is not shown.
impl std::fmt::Debug for ServerSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerSettings")
            .field("address", &self.address)
            .field("max_body_bytes", &self.max_body_bytes)
            .field("hosts", &self.hosts)
            .field("max_connections", &self.max_connections)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}
