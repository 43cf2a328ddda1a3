//! Settings of the running instance, as whoever started it has them: shown, and read again.

use std::pin::Pin;
use std::sync::Arc;

use ark_os_api::{ConfigReload, ConfigView, Problem};

/// A configuration that is being shown, which takes a look at the file.
pub type Showing = Pin<Box<dyn Future<Output = ConfigView> + Send>>;

/// A configuration that is being read again; its own faults come as a problem.
pub type Reloading = Pin<Box<dyn Future<Output = Result<ConfigReload, Problem>> + Send>>;

/// What can be asked about settings.
#[derive(Clone)]
pub struct LiveSettings {
    /// What the instance has. Whoever gives it blocks no thread of the server with files.
    pub show: Arc<dyn Fn() -> Showing + Send + Sync>,
    /// Reads the configuration again for somebody's reason, and changes what can be changed.
    pub reload: Arc<dyn Fn(String) -> Reloading + Send + Sync>,
}

impl std::fmt::Debug for LiveSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveSettings").finish_non_exhaustive()
    }
}

impl Default for LiveSettings {
    /// An instance that has no configuration to read.
    fn default() -> Self {
        let refused = || {
            Problem::new(
                "settings_invalid",
                "the instance was begun without a configuration to read again",
            )
            .with_hint(
                "`ark-os start` begins one that has; what `ark-os run` begins ends with its run",
            )
        };
        LiveSettings {
            show: Arc::new(|| Box::pin(std::future::ready(ConfigView::default()))),
            reload: Arc::new(move |_| Box::pin(async move { Err(refused()) })),
        }
    }
}
