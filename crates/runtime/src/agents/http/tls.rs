//! Whom a call over TLS trusts: the system's authorities, or those of a file.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::transport::{ConnectionDetails, Connector, RustlsConnector, Transport};

/// A bundle of authorities is a few hundred kilobytes.
const CA_FILE_BYTES_MAX: u64 = 16 << 20;

/// What calls over TLS share: the settings are built into it at the first call.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    pub(super) config: TlsConfig,
    connector: Arc<RustlsConnector>,
}

/// Loads the authorities.
pub(super) fn open(ca_file: Option<PathBuf>) -> Result<Tls, String> {
    let roots = match ca_file {
        Some(path) => from_file(&path),
        None => from_system(),
    }?;
    let config = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots))
        .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
        .build();
    Ok(Tls { config, connector: Arc::default() })
}

fn from_file(path: &PathBuf) -> Result<Vec<Certificate<'static>>, String> {
    let name = path.display();
    let read = || -> std::io::Result<Vec<u8>> {
        if std::fs::metadata(path)?.len() > CA_FILE_BYTES_MAX {
            return Err(std::io::Error::other(format!("more than {CA_FILE_BYTES_MAX} bytes")));
        }
        std::fs::read(path)
    };
    let text = read().map_err(|error| format!("cannot read `{name}`: {error}"))?;
    let mut roots = Vec::new();
    for item in parse_pem(&text) {
        match item.map_err(|error| format!("`{name}` is no PEM file: {error}"))? {
            PemItem::Certificate(certificate) => roots.push(certificate),
            _ => return Err(format!("`{name}` has something else in it than certificates")),
        }
    }
    if roots.is_empty() { Err(format!("`{name}` has no certificate")) } else { Ok(roots) }
}

fn from_system() -> Result<Vec<Certificate<'static>>, String> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        return Err("the system has no authorities to trust: name them with `ca_file`".to_owned());
    }
    Ok(found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect())
}

impl<In: Transport> Connector<In> for Tls {
    type Out = <RustlsConnector as Connector<In>>::Out;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        self.connector.connect(details, chained)
    }
}
