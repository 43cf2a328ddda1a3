//! Where a call may go: public addresses only, unless its agent says more. The addresses that are
//! checked are those that are connected to, so a name that means something else a moment later is of
//! no use to anybody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Finds addresses, and drops those that are not allowed.
#[derive(Debug)]
pub(super) struct Egress {
    pub(super) allows_private: bool,
    /// Set where nothing is left.
    pub(super) is_refused: Arc<AtomicBool>,
}

impl Resolver for Egress {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = match literal(uri) {
            Some(address) => {
                let mut found = self.empty();
                found.push(address);
                found
            }
            None => DefaultResolver::default().resolve(uri, config, timeout)?,
        };
        let mut allowed = self.empty();
        for address in found.iter().filter(|it| self.allows_private || is_public(it.ip())) {
            allowed.push(*address);
        }
        if allowed.is_empty() {
            self.is_refused.store(true, Ordering::Release);
            return Err(ureq::Error::HostNotFound);
        }
        Ok(allowed)
    }
}

/// The addresses of a host that may be called.
///
/// # Errors
/// It is not known, or none of them may be.
pub(super) fn addresses(uri: &Uri, allows_private: bool) -> Result<Vec<SocketAddr>, String> {
    let found = match literal(uri) {
        Some(address) => vec![address],
        None => {
            let host = uri.host().ok_or("it names no host")?;
            let found =
                (host, port_of(uri)).to_socket_addrs().map_err(|error| error.to_string())?;
            found.collect()
        }
    };
    let allowed = found.into_iter().filter(|it| allows_private || is_public(it.ip()));
    let allowed: Vec<SocketAddr> = allowed.collect();
    match allowed.is_empty() {
        true => Err("its address is not public, and `allow_private` is not said".to_owned()),
        false => Ok(allowed),
    }
}

fn port_of(uri: &Uri) -> u16 {
    let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    uri.port_u16().unwrap_or(default)
}

/// The address of a host that is one.
fn literal(uri: &Uri) -> Option<SocketAddr> {
    let host = uri.host()?;
    let ip: IpAddr = host.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    Some(SocketAddr::new(ip, port_of(uri)))
}

/// Whether an address is one of the public internet.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18..=19, _)
            | (198, 51, 100)
            | (203, 0, 113)
            | (224.., _, _)
    )
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let inner = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b) {
        // An IPv4 address in another coat: mapped, translated, or 6to4.
        (0, 0) if (c, d, e, f) == (0, 0, 0, 0xffff) => inner(g, h),
        (0x64, 0xff9b) if (c, d, e, f) == (0, 0, 0, 0) => inner(g, h),
        (0x2002, _) => inner(b, c),
        (0x2001, 0..=0x1ff) => false,
        (0x2001, 0xdb8) => false,
        (0x3fff, 0..=0xfff) => false,
        // What is given out to anybody at all.
        (0x2000..=0x3fff, _) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_public() {
        let private = "0.0.0.0 10.1.2.3 100.64.0.1 127.0.0.1 169.254.169.254 172.16.0.1 172.31.255.255 \
                       192.0.0.1 192.0.2.1 192.168.1.1 198.18.0.1 198.51.100.1 203.0.113.9 224.0.0.1 \
                       255.255.255.255 :: ::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::7f00:1 \
                       2002:7f00:1:: 2002:a00:1:: 2001::1 2001:db8::1 fc00::1 fd12::1 fe80::1 ff02::1 \
                       64:ff9b:1::1 ::127.0.0.1 3fff::1";
        for ip in private.split_whitespace() {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        let public = "1.1.1.1 8.8.8.8 100.63.0.1 100.128.0.1 172.32.0.1 192.169.0.1 198.20.0.1 \
                      223.255.255.255 2606:4700::1111 2a00:1450:4001::1 ::ffff:1.1.1.1 \
                      64:ff9b::101:101 2002:101:101::";
        for ip in public.split_whitespace() {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn a_host_that_is_an_address_is_taken_as_it_is() {
        let of = |uri: &str| literal(&uri.parse().unwrap()).map(|it| it.to_string());
        assert_eq!(of("http://127.0.0.1/x").as_deref(), Some("127.0.0.1:80"));
        assert_eq!(of("https://[::1]/x").as_deref(), Some("[::1]:443"));
        assert_eq!(of("https://[::1]:9/x").as_deref(), Some("[::1]:9"));
        assert_eq!(of("https://localhost/x"), None);
    }
}
