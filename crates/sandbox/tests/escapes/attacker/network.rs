//! Ways out by the network, every family.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::Path;

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
    Way {
        name: "datagram-to-the-host",
        attempt: |target| datagram(target, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC),
    },
    Way {
        name: "raw-datagram-to-the-host",
        attempt: |target| datagram(target, libc::SOCK_RAW | libc::SOCK_NONBLOCK),
    },
    Way { name: "descriptor-to-the-host", attempt: descriptor },
    Way { name: "hide-a-file-in-a-socket", attempt: hidden_descriptor },
    Way {
        name: "packets-to-the-host",
        attempt: |target| {
            let path = target.shown.join("datagram");
            message(libc::SOCK_SEQPACKET, Some(&path), false)?;
            Err("a connected socket sent to its peer; the test looks at the canary".into())
        },
    },
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

/// A socket of a pair, and the address of a socket of the host that lies in a mount.
fn datagram(target: &Target, kind: i32) -> Try {
    let pair = pair(kind)?;
    let (address, length) = address(&target.shown.join("datagram"));
    let text = b"hello";
    forbidden(
        "sendto",
        libc::SYS_sendto,
        &[
            pair[0] as usize,
            text.as_ptr() as usize,
            text.len(),
            libc::MSG_DONTWAIT as usize,
            &raw const address as usize,
            length,
        ],
    )
}

/// A file of the jail for somebody outside.
fn descriptor(target: &Target) -> Try {
    message(libc::SOCK_DGRAM, Some(&target.shown.join("datagram")), true)
}

/// A file that is in nobody's table, where it would be counted.
fn hidden_descriptor(_: &Target) -> Try {
    message(libc::SOCK_STREAM, None, true)
}

fn pair(kind: i32) -> Result<[i32; 2], String> {
    let mut pair = [0_i32; 2];
    let args = [libc::AF_UNIX as usize, kind as usize, 0, pair.as_mut_ptr() as usize];
    match call(libc::SYS_socketpair, &args) {
        Ok(_) => Ok(pair),
        Err(error) => Err(format!("socketpair: {error}")),
    }
}

fn address(path: &Path) -> (libc::sockaddr_un, usize) {
    // SAFETY: an address of zeros is a valid one.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    for (to, from) in address.sun_path.iter_mut().zip(path.as_os_str().as_encoded_bytes()) {
        *to = *from as libc::c_char;
    }
    (address, size_of::<libc::sockaddr_un>())
}

/// A message from a socket of a pair, with a name to go to, or a descriptor with it.
fn message(kind: i32, to: Option<&Path>, with_descriptor: bool) -> Try {
    let pair = pair(kind)?;
    let mut text = *b"hello";
    let mut part = libc::iovec { iov_base: text.as_mut_ptr().cast(), iov_len: text.len() };
    let mut to = to.map(address);
    // A header of 16 bytes and one descriptor, padded: the input, for nobody waits for its end.
    let mut control = [20_u64, (1_u64 << 32) | libc::SOL_SOCKET as u64, 0];
    // SAFETY: a message of zeros is an empty one.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if let Some((address, length)) = &mut to {
        message.msg_name = (&raw mut *address).cast();
        message.msg_namelen = *length as u32;
    }
    if with_descriptor {
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
    }
    let flags = libc::MSG_DONTWAIT as usize;
    forbidden("sendmsg", libc::SYS_sendmsg, &[pair[0] as usize, &raw const message as usize, flags])
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
