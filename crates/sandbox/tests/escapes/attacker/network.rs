//! Ways out by the network, every family.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

use crate::system::{Target, call, forbidden};
use crate::{Try, Way};

pub(crate) const WAYS: &[Way] = &[
    Way { name: "tcp4", attempt: tcp4 },
    Way { name: "tcp6", attempt: tcp6 },
    Way { name: "udp4", attempt: udp4 },
    Way { name: "udp6", attempt: udp6 },
    Way { name: "listen", attempt: listen },
    Way { name: "resolve-a-name", attempt: resolve },
    Way {
        name: "raw-socket",
        attempt: |_| socket("a raw socket", libc::AF_INET, libc::SOCK_RAW, 1),
    },
    Way {
        name: "packet-socket",
        attempt: |_| socket("a packet socket", libc::AF_PACKET, libc::SOCK_RAW, 0x0300),
    },
    Way {
        name: "netlink-socket",
        attempt: |_| socket("a netlink socket", libc::AF_NETLINK, libc::SOCK_RAW, 0),
    },
    Way { name: "vsock", attempt: |_| socket("a vsock", libc::AF_VSOCK, libc::SOCK_STREAM, 0) },
    Way {
        name: "crypto-socket",
        attempt: |_| socket("an AF_ALG socket", libc::AF_ALG, libc::SOCK_SEQPACKET, 0),
    },
    Way {
        name: "xdp-socket",
        attempt: |_| socket("an AF_XDP socket", libc::AF_XDP, libc::SOCK_RAW, 0),
    },
    Way {
        name: "can-socket",
        attempt: |_| socket("an AF_CAN socket", libc::AF_CAN, libc::SOCK_RAW, 1),
    },
    Way {
        name: "tipc-socket",
        attempt: |_| socket("an AF_TIPC socket", libc::AF_TIPC, libc::SOCK_RDM, 0),
    },
    Way { name: "unix-socket-of-the-host", attempt: unix_path },
    Way { name: "abstract-socket-of-the-host", attempt: unix_abstract },
];

fn tcp4(target: &Target) -> Try {
    match TcpStream::connect((Ipv4Addr::LOCALHOST, target.port)) {
        Ok(_) => Ok("connected to the host over IPv4".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn tcp6(target: &Target) -> Try {
    match TcpStream::connect((Ipv6Addr::LOCALHOST, target.port)) {
        Ok(_) => Ok("connected to the host over IPv6".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn udp4(target: &Target) -> Try {
    let sent = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.send_to(target.secret.as_bytes(), (Ipv4Addr::LOCALHOST, target.port))
    });
    match sent {
        Ok(bytes) => Ok(format!("sent {bytes} bytes over UDP")),
        Err(error) => Err(error.to_string()),
    }
}

fn udp6(target: &Target) -> Try {
    let sent = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.send_to(target.secret.as_bytes(), (Ipv6Addr::LOCALHOST, target.port))
    });
    match sent {
        Ok(bytes) => Ok(format!("sent {bytes} bytes over UDP")),
        Err(error) => Err(error.to_string()),
    }
}

fn listen(_: &Target) -> Try {
    match TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)) {
        Ok(listener) => Ok(format!("listens on {:?}", listener.local_addr())),
        Err(error) => Err(error.to_string()),
    }
}

fn resolve(_: &Target) -> Try {
    match ("ark-os.invalid.example.", 80).to_socket_addrs() {
        Ok(addresses) => Ok(format!("resolved {} addresses", addresses.count())),
        // A name server that says "no such name" was reached: only the socket tells.
        Err(_) => socket("a datagram socket", libc::AF_INET, libc::SOCK_DGRAM, 0),
    }
}

fn socket(what: &str, family: i32, kind: i32, protocol: i32) -> Try {
    forbidden(what, libc::SYS_socket, &[family as usize, kind as usize, protocol as usize])
}

fn unix_path(target: &Target) -> Try {
    match UnixStream::connect(&target.socket) {
        Ok(_) => Ok("connected to a socket of the host".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn unix_abstract(target: &Target) -> Try {
    let connected = SocketAddr::from_abstract_name(&target.abstract_name)
        .and_then(|address| UnixStream::connect_addr(&address));
    match connected {
        Ok(_) => Ok("connected to an abstract socket of the host".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Whether any socket of this family can be had by the 32-bit entry, past a filter that looks at
/// 64-bit numbers only.
#[cfg(target_arch = "x86_64")]
pub(crate) fn x32_socket(_: &Target) -> Try {
    const X32: libc::c_long = 0x4000_0000;
    match call(X32 | libc::SYS_socket, &[libc::AF_INET as usize, libc::SOCK_STREAM as usize, 0]) {
        Ok(answer) => Ok(format!("a socket by an x32 call: {answer}")),
        Err(error) => Err(format!("a socket by an x32 call: {error}")),
    }
}
