//! How a command finds the instance: an address that was given, else the data directory's record.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::bounded::read_bounded;
use crate::environment::Environment;
use crate::failure::Failure;

/// In the data directory: who runs on it and where it listens.
const RECORD_FILE: &str = "instance.json";
/// In the data directory: the token of its instance, for its owner's eyes only.
pub(crate) const TOKEN_FILE: &str = "token";
/// A token is one short line.
const TOKEN_BYTES_MAX: u64 = 4_096;

/// What the command line says about which instance is meant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reach {
    /// Its address.
    pub(crate) endpoint: Option<String>,
    /// Where its token stands.
    pub(crate) token_file: Option<PathBuf>,
    /// Its data directory.
    pub(crate) data_dir: Option<PathBuf>,
}

/// Where an instance is, and what proves that we may speak to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// `http://127.0.0.1:7341`.
    pub(crate) endpoint: String,
    /// Its token.
    pub(crate) token: Option<String>,
    /// The data directory that was looked into.
    pub(crate) data_dir: PathBuf,
    /// Its process, if the data directory told of it.
    pub(crate) pid: Option<u32>,
}

/// The record of a running instance in its data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InstanceRecord {
    /// Its address.
    pub(crate) endpoint: String,
    /// Its process.
    pub(crate) pid: u32,
    /// The directory that relative paths of its tasks start from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) working_dir: Option<PathBuf>,
}

impl InstanceRecord {
    /// The record of a data directory.
    pub(crate) fn load(data_dir: &Path) -> Option<Self> {
        let bytes = std::fs::read(data_dir.join(RECORD_FILE)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Puts the record into a data directory, in one piece.
    pub(crate) fn store(&self, data_dir: &Path) -> Result<(), Failure> {
        let write = || -> std::io::Result<()> {
            let unfinished = data_dir.join(format!("{RECORD_FILE}.tmp"));
            std::fs::write(&unfinished, serde_json::to_vec(self)?)?;
            std::fs::rename(unfinished, data_dir.join(RECORD_FILE))
        };
        write().map_err(|error| {
            let message = format!("cannot write into `{}`: {error}", data_dir.display());
            Failure::new("data_directory_unusable", message)
        })
    }

    /// Takes the record away when the instance stops.
    pub(crate) fn remove(data_dir: &Path) {
        // A record that stays is told apart by its process not answering.
        let _ = std::fs::remove_file(data_dir.join(RECORD_FILE));
    }
}

impl Reach {
    /// The data directory that is meant.
    pub(crate) fn data_dir(&self, environment: &Environment) -> PathBuf {
        let set = || environment.value("ARK_OS_DATA_DIR").map(PathBuf::from);
        self.data_dir.clone().or_else(set).unwrap_or_else(|| environment.state_dir.clone())
    }

    /// Whether an instance was named by its address.
    pub(crate) fn is_by_address(&self, environment: &Environment) -> bool {
        self.named_endpoint(environment).is_some()
    }

    /// The command line comes first, whichever of its options names the instance.
    fn named_endpoint(&self, environment: &Environment) -> Option<String> {
        match (&self.endpoint, &self.data_dir) {
            (Some(endpoint), _) => Some(endpoint.clone()),
            (None, Some(_)) => None,
            (None, None) => environment.value("ARK_OS_ENDPOINT").map(str::to_owned),
        }
    }

    /// The address of the instance.
    ///
    /// # Errors
    /// Nothing tells where it is, or its token cannot be read.
    pub(crate) fn address(&self, environment: &Environment) -> Result<Address, Failure> {
        let data_dir = self.data_dir(environment);
        let record = InstanceRecord::load(&data_dir);
        let named = self.named_endpoint(environment).map(|it| endpoint_of(&it)).transpose()?;
        let Some(endpoint) = named.or_else(|| record.as_ref().map(|it| it.endpoint.clone())) else {
            check_readable(&data_dir)?;
            let message =
                format!("no instance runs on the data directory `{}`", data_dir.display());
            return Err(Failure::new("instance_unreachable", message).with_hint(
                "start one with `ark-os start`, or name one with --endpoint or --data-dir",
            ));
        };
        // The directory's token is for its own instance alone.
        let record = record.filter(|record| record.endpoint == endpoint);
        let token = self.token(environment, record.is_some().then_some(data_dir.as_path()))?;
        Ok(Address { endpoint, token, data_dir, pid: record.map(|record| record.pid) })
    }

    fn token(
        &self,
        environment: &Environment,
        own: Option<&Path>,
    ) -> Result<Option<String>, Failure> {
        if let Some(path) = &self.token_file {
            return read_token(path).map(Some);
        }
        if let Some(token) = environment.value("ARK_OS_TOKEN") {
            return Ok(Some(token.trim().to_owned()));
        }
        own.map(|data_dir| read_token(&data_dir.join(TOKEN_FILE))).transpose()
    }
}

/// That nobody may look is no sign that nobody runs.
fn check_readable(data_dir: &Path) -> Result<(), Failure> {
    match std::fs::metadata(data_dir.join(RECORD_FILE)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            let dir = data_dir.display();
            let message = format!("cannot look into the data directory `{dir}`: {error}");
            Err(Failure::new("data_directory_unusable", message)
                .with_hint("call as the user that runs the instance, or name it with --endpoint"))
        }
        _ => Ok(()),
    }
}

fn endpoint_of(text: &str) -> Result<String, Failure> {
    let (address, is_bare) = match text.split_once("://") {
        None => (text, true),
        Some(("http", address)) => (address, false),
        Some((scheme, _)) => {
            let message = format!("the endpoint `{text}` is not reached by `{scheme}`");
            return Err(Failure::usage(message).with_hint("write it like `http://127.0.0.1:7341`"));
        }
    };
    let address = address.strip_suffix('/').unwrap_or(address);
    let port = address.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
    let is_port = match port {
        Some((host, port)) => !host.is_empty() && port.parse::<u16>().is_ok(),
        // Without scheme and port it is any word.
        None => !is_bare && !address.is_empty(),
    };
    if !is_port || address.contains(['/', '?', '#', '@', ' ']) {
        return Err(Failure::usage(format!("`{text}` is no endpoint"))
            .with_hint("write it like `http://127.0.0.1:7341`"));
    }
    Ok(format!("http://{address}"))
}

fn read_token(path: &Path) -> Result<String, Failure> {
    let text = read_bounded(path, TOKEN_BYTES_MAX).map_err(|error| {
        let message = format!("cannot read the token file `{}`: {error}", path.display());
        Failure::usage(message).with_hint("only the user that runs the instance may read it")
    })?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = format!("the token file `{}` holds no token", path.display());
        return Err(Failure::usage(message));
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)], state_dir: &Path) -> Environment {
        let pairs = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Environment {
            ours: pairs.collect(),
            state_dir: state_dir.to_path_buf(),
            ..Environment::default()
        }
    }

    fn directory(endpoint: &str, token: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let record = InstanceRecord { endpoint: endpoint.into(), pid: 7, working_dir: None };
        record.store(dir.path()).unwrap();
        std::fs::write(dir.path().join(TOKEN_FILE), token).unwrap();
        dir
    }

    #[test]
    fn the_command_line_names_the_instance_before_the_environment_does() {
        let own = directory("http://127.0.0.1:1", "own\n");
        let variables = [("ARK_OS_ENDPOINT", "127.0.0.1:2"), ("ARK_OS_TOKEN", "variable")];
        let environment = environment(&variables, own.path());
        let by = |reach: Reach| reach.address(&environment).unwrap();
        let given = Reach { endpoint: Some("http://127.0.0.1:3/".into()), ..Reach::default() };
        assert_eq!(by(given).endpoint, "http://127.0.0.1:3");
        let given = Reach { data_dir: Some(own.path().into()), ..Reach::default() };
        assert_eq!(by(given).endpoint, "http://127.0.0.1:1");
        let address = by(Reach::default());
        assert_eq!(address.endpoint, "http://127.0.0.1:2");
        assert_eq!(address.token.as_deref(), Some("variable"));
    }

    #[test]
    fn a_directory_s_token_goes_to_its_own_instance_only() {
        let own = directory("http://127.0.0.1:1", "own\n");
        let environment = environment(&[], own.path());
        let address = Reach::default().address(&environment).unwrap();
        assert_eq!((address.token.as_deref(), address.pid), (Some("own"), Some(7)));
        let other = Reach { endpoint: Some("127.0.0.1:9".into()), ..Reach::default() };
        let address = other.address(&environment).unwrap();
        assert_eq!((address.token, address.pid), (None, None));
    }

    #[test]
    fn a_data_directory_that_nobody_can_look_into_is_not_one_without_an_instance() {
        let dir = tempfile::tempdir().unwrap();
        let told = |data_dir: &Path| {
            let reach = Reach { data_dir: Some(data_dir.into()), ..Reach::default() };
            reach.address(&environment(&[], dir.path())).unwrap_err().code().to_owned()
        };
        assert_eq!(told(dir.path()), "instance_unreachable");
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(told(&file), "data_directory_unusable");
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in [
            "",
            "https://127.0.0.1:1",
            "http://",
            "http://a/b",
            "http://u@a",
            "nonsense",
            "a:b",
            ":1",
        ] {
            assert!(endpoint_of(text).is_err(), "{text}");
        }
        for text in ["127.0.0.1:1", "http://[::1]:1/", "http://[::1]", "http://ark.example"] {
            assert!(endpoint_of(text).is_ok(), "{text}");
        }
    }
}
