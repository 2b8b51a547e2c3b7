//! The address to listen on.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use serde::Deserialize;

/// `ADDRESS:PORT`, or `localhost:PORT` for 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ListenAddr(pub SocketAddr);

/// Text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an address and a port, such as 127.0.0.1:8787 or [::1]:0")]
pub struct BadListenAddr;

impl Default for ListenAddr {
    fn default() -> Self {
        Self(SocketAddr::from((Ipv4Addr::LOCALHOST, 8787)))
    }
}

impl FromStr for ListenAddr {
    type Err = BadListenAddr;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(port) = text.strip_prefix("localhost:") {
            let port = port.parse().map_err(|_| BadListenAddr)?;
            return Ok(Self(SocketAddr::from((Ipv4Addr::LOCALHOST, port))));
        }
        text.parse().map(Self).map_err(|_| BadListenAddr)
    }
}

impl TryFrom<String> for ListenAddr {
    type Error = BadListenAddr;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}
