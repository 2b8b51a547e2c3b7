//! Which addresses a server on the public network may not send us to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use url::{Host, Url};

/// A name, or an address itself, leads into the machine or its private network.
#[derive(Debug, thiserror::Error)]
#[error("`{host}` is an address of this machine or of a private network")]
pub(super) struct PrivateAddress {
    host: String,
}

/// What is public of the addresses of a host.
pub(super) fn keep_public(host: &str, found: &[SocketAddr]) -> Result<Vec<SocketAddr>, PrivateAddress> {
    let public: Vec<SocketAddr> = found.iter().copied().filter(|address| !is_private(address.ip())).collect();
    if public.is_empty() && !found.is_empty() {
        return Err(PrivateAddress { host: host.to_owned() });
    }
    Ok(public)
}

/// Refuses a URL whose host is a private address itself, for which no name is looked up.
pub(super) fn check_literal(url: &Url) -> Result<(), PrivateAddress> {
    let address = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain(_)) | None => return Ok(()),
    };
    if is_private(address) { Err(PrivateAddress { host: address.to_string() }) } else { Ok(()) }
}

/// Whether the error of a request goes back to [`keep_public`].
pub(super) fn is_refusal(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut error = Some(error);
    while let Some(cause) = error {
        if cause.is::<PrivateAddress>() {
            return true;
        }
        error = cause.source();
    }
    false
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_multicast()
        // "This network", shared address space of providers, protocol assignments, benchmarking, reserved.
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b))
        || a >= 240
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_private_v4(Ipv4Addr::new(a, b, c, d))
    };
    address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        // fc00::/7 unique local, fe80::/10 link-local, fec0::/10 site-local.
        || segments[0] & 0xfe00 == 0xfc00
        || segments[0] & 0xff80 == 0xfe80
        // IPv4 in disguise: mapped and compatible, translated (64:ff9b::/96 and its local /48), 6to4, Teredo.
        || match segments {
            [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
            [0x64, 0xff9b, 1, ..] => true,
            [0x2002, high, low, ..] => v4(high, low),
            [0x2001, 0, ..] => true,
            _ => false,
        }
}
