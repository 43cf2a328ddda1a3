//! Where skills find the jail. It is opened when the first of them needs it: trying out what the
//! machine can hold takes some milliseconds, which an instance without such work need not spend.

use std::sync::{Arc, OnceLock};

use ark_os_sandbox::{Jail, Settings};

/// A jail, or none. Clones share one.
#[derive(Clone, Debug, Default)]
pub struct JailSource {
    inner: Option<Arc<Inner>>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    jail: OnceLock<Result<Jail, String>>,
}

impl JailSource {
    /// No jail: what needs one says so.
    pub fn none() -> Self {
        Self::default()
    }

    /// A jail opened so. The launcher it names must be one: see
    /// [`ark_os_sandbox::launcher_main_if_asked`].
    pub fn with(settings: Settings) -> Self {
        Self { inner: Some(Arc::new(Inner { settings, jail: OnceLock::new() })) }
    }

    /// The jail, or why there is none, as a fragment fit after "there is no sandbox: ".
    pub(super) fn open(&self) -> Result<&Jail, String> {
        let Some(inner) = &self.inner else { return Err("this instance has none".to_owned()) };
        let opened = || Jail::open(inner.settings.clone()).map_err(|error| error.to_string());
        inner.jail.get_or_init(opened).as_ref().map_err(Clone::clone)
    }
}
