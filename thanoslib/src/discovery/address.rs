//! Addresses with a prefix that says how they are looked up.

use std::net::IpAddr;

use crate::error::{Error, Result};

/// How a name is looked up.
///
/// See [`Lookup`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LookupKind {
    /// Not at all: the address as it is.
    Literal,
    /// `dns+`: addresses of a host, as the resolver prefers them.
    Dns,
    /// `dnsdualstack+`: addresses of both families.
    DualStack,
    /// `dnssrv+`: hosts and ports of a service, and the addresses of the hosts.
    Srv,
    /// `dnssrvnoa+`: hosts and ports of a service.
    SrvNoA,
}

/// An address taken apart.
///
/// ```
/// use thanoslib::discovery::{Lookup, LookupKind};
/// let lookup = Lookup::parse("dnssrv+_grpc._tcp.store.example")?;
/// assert_eq!((lookup.kind, lookup.host.as_str()), (LookupKind::Srv, "_grpc._tcp.store.example"));
/// assert!(!Lookup::parse("10.0.0.1:10901")?.is_dynamic());
/// assert!(Lookup::parse("dsn+store:10901").is_err());
/// # Ok::<(), thanoslib::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// How it is looked up.
    pub kind: LookupKind,
    /// What stands before `//`, with it; results have it, too.
    pub scheme: String,
    /// Name of the host or service.
    pub host: String,
    /// Port as text, if there is one.
    pub port: Option<String>,
}

impl Lookup {
    /// Takes an address apart.
    ///
    /// # Errors
    /// `Invalid` for an unknown prefix, or a missing port where one is needed.
    pub fn parse(address: &str) -> Result<Self> {
        let (kind, rest) = match address.split_once('+') {
            None => (LookupKind::Literal, address),
            Some(("dns", rest)) => (LookupKind::Dns, rest),
            Some(("dnsdualstack", rest)) => (LookupKind::DualStack, rest),
            Some(("dnssrv", rest)) => (LookupKind::Srv, rest),
            Some(("dnssrvnoa", rest)) => (LookupKind::SrvNoA, rest),
            Some((other, _)) => return Err(Error::invalid(format!("invalid lookup scheme {other:?}"))),
        };
        let (scheme, rest) = match rest.split_once("//") {
            Some((scheme, rest)) => (format!("{scheme}//"), rest),
            None => (String::new(), rest),
        };
        let (host, port) = split_port(rest);
        if matches!(kind, LookupKind::Dns | LookupKind::DualStack) && port.is_none() {
            return Err(Error::invalid(format!("missing port in address given for dns lookup: {rest}")));
        }
        if host.is_empty() {
            return Err(Error::invalid(format!("no host in address {address:?}")));
        }
        Ok(Self { kind, scheme, host: host.to_owned(), port: port.map(str::to_owned) })
    }

    /// True when it stands for addresses that are looked up.
    pub fn is_dynamic(&self) -> bool {
        self.kind != LookupKind::Literal
    }

    /// The address of a host that was found.
    pub(super) fn address(&self, host: &str, port: &str) -> String {
        let scheme = &self.scheme;
        match (host.contains(':'), port.is_empty()) {
            (_, true) => format!("{scheme}{host}"),
            (true, false) => format!("{scheme}[{host}]:{port}"),
            (false, false) => format!("{scheme}{host}:{port}"),
        }
    }

    /// The host, where it is an address already.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// Host and port; an IPv6 address with a port stands in brackets.
fn split_port(text: &str) -> (&str, Option<&str>) {
    if let Some((host, after)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host, after.strip_prefix(':').filter(|port| !port.is_empty()));
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, (!port.is_empty()).then_some(port)),
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let check = |address: &str, want: Result<(LookupKind, &str, &str, Option<&str>), &str>| {
            let got = Lookup::parse(address);
            let got = got.as_ref().map(|l| (l.kind, l.scheme.as_str(), l.host.as_str(), l.port.as_deref()));
            assert_eq!(got.map_err(|e| e.to_string()), want.map_err(str::to_owned), "{address}");
        };
        use LookupKind::{Dns, DualStack, Literal, Srv, SrvNoA};
        check("h:1", Ok((Literal, "", "h", Some("1"))));
        check("[::1]:1", Ok((Literal, "", "::1", Some("1"))));
        check("dns+h:1", Ok((Dns, "", "h", Some("1"))));
        check("dns+http://h:1", Ok((Dns, "http://", "h", Some("1"))));
        check("dnsdualstack+h:1", Ok((DualStack, "", "h", Some("1"))));
        check("dnssrv+_g._tcp.h", Ok((Srv, "", "_g._tcp.h", None)));
        check("dnssrvnoa+h:5", Ok((SrvNoA, "", "h", Some("5"))));
        check("dns+h", Err("missing port in address given for dns lookup: h"));
        check("dnsdualstack+h", Err("missing port in address given for dns lookup: h"));
        check("dsn+h:1", Err("invalid lookup scheme \"dsn\""));
        check("+h:1", Err("invalid lookup scheme \"\""));
        check("", Err("no host in address \"\""));
    }
}
