//! Which hosts a manifest may name. A job's SQL comes from whoever may make a StreamJob, and its connections leave from
//! pods in the cluster: the addresses by which clouds hand out credentials to machines, and the pod itself, are refused,
//! however they are spelled, and what a name resolves to counts too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};

/// Names by which clouds serve metadata.
const METADATA_NAMES: [&str; 4] = ["metadata.google.internal", "metadata", "instance-data", "metadata.azure.internal"];

/// Cloud metadata outside of the link-local range: Alibaba's, and Amazon's by IPv6.
const METADATA_ADDRESSES: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)), IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254))];

/// Checks `host:port,host:port`.
pub fn check_servers(servers: &str) -> Result<(), String> {
    servers.split(',').map(str::trim).filter(|server| !server.is_empty()).try_for_each(|server| {
        // Kafka's clients also take a protocol in front.
        let server = server.rsplit_once("://").map_or(server, |(_, server)| server);
        check_host(host_of(server))
    })
}

/// Checks the host of a URL.
pub fn check_url(url: &str) -> Result<(), String> {
    let Some((_, rest)) = url.split_once("://") else { return check_host(host_of(url)) };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    check_host(host_of(authority.rsplit_once('@').map_or(authority, |(_, host)| host)))
}

/// The same for what the names in `host:port,host:port` resolve to here. A name that resolves to nothing is Kafka's client's
/// business.
pub fn check_resolved(servers: &str) -> Result<(), String> {
    servers.split(',').map(|server| server.rsplit_once("://").map_or(server, |(_, server)| server).trim()).try_for_each(
        |server| {
            let host = host_of(server);
            let mut resolved = (host, 0).to_socket_addrs().into_iter().flatten();
            resolved.try_for_each(|address| check_address(host, address.ip()))
        },
    )
}

/// The host in `host:port` or `[v6]:port`.
fn host_of(server: &str) -> &str {
    if let Some(rest) = server.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    match server.rsplit_once(':') {
        // More than one colon without brackets: an address, and no port.
        Some((host, _)) if !host.contains(':') => host,
        _ => server,
    }
}

fn check_host(host: &str) -> Result<(), String> {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    if METADATA_NAMES.contains(&name.as_str()) {
        return Err(refusal(host));
    }
    if name == "localhost" || name.ends_with(".localhost") {
        return Err(format!("{host} is the pod itself: name the server by an address that pods reach"));
    }
    match parse(&name) {
        Some(address) => check_address(host, address),
        None => Ok(()),
    }
}

fn check_address(host: &str, address: IpAddr) -> Result<(), String> {
    let address = match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    };
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    if link_local || METADATA_ADDRESSES.contains(&address) {
        return Err(refusal(host));
    }
    if address.is_loopback() || address.is_unspecified() {
        return Err(format!("{host} is the pod itself: name the server by an address that pods reach"));
    }
    Ok(())
}

fn refusal(host: &str) -> String {
    format!("{host} is where clouds hand out credentials to machines: no job may connect there")
}

/// An address in any spelling that resolvers take: `169.254.43518`, `0xa9fea9fe`, `0251.0376.0251.0376`.
fn parse(host: &str) -> Option<IpAddr> {
    if let Ok(address) = host.parse() {
        return Some(address);
    }
    let parts: Vec<u32> = host.split('.').map(number).collect::<Option<_>>()?;
    let (last, first) = parts.split_last()?;
    if first.len() > 3 || first.iter().any(|part| *part > 255) {
        return None;
    }
    let high = first.iter().enumerate().fold(0_u32, |high, (at, part)| high | part << (24 - 8 * at));
    let room = 8 * (4 - first.len() as u32);
    (room == 32 || *last < 1 << room).then(|| IpAddr::V4(Ipv4Addr::from(high | last)))
}

fn number(text: &str) -> Option<u32> {
    if let Some(hex) = text.strip_prefix("0x") {
        return u32::from_str_radix(hex, 16).ok();
    }
    match text.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => u32::from_str_radix(octal, 8).ok(),
        _ => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metadata_address_is_refused_in_every_spelling() {
        for host in [
            "169.254.169.254",
            "169.254.43518",
            "169.16689662",
            "2852039166",
            "0xa9fea9fe",
            "0xa9.0xfe.0xa9.0xfe",
            "0251.0376.0251.0376",
            "metadata.google.internal",
            "Metadata.Google.Internal.",
            "100.100.100.200",
        ] {
            assert!(check_servers(&format!("kafka:9092, {host}:80")).is_err(), "{host}");
            assert!(check_url(&format!("http://user@{host}/latest")).is_err(), "{host}");
        }
        for host in ["[::ffff:169.254.169.254]", "[fe80::1]", "[fd00:ec2::254]"] {
            assert!(check_servers(&format!("{host}:80")).is_err(), "{host}");
            assert!(check_url(&format!("http://{host}:80/")).is_err(), "{host}");
        }
        assert!(check_servers("PLAINTEXT://169.254.169.254:9092").is_err());
    }

    #[test]
    fn the_pod_itself_is_refused_and_others_are_not() {
        for host in ["localhost", "127.0.0.1", "127.1", "0.0.0.0", "0"] {
            assert!(check_servers(&format!("{host}:9092")).is_err(), "{host}");
        }
        assert!(check_servers("[::1]:9092").is_err());
        for servers in
            ["kafka:9092", "10.0.0.7:9092,10.0.0.8:9092", "b-1.x.kafka.eu.amazonaws.com:9096", "[fd12::7]:9092"]
        {
            assert_eq!(check_servers(servers), Ok(()));
        }
        assert_eq!(check_url("https://minio.storage:9000"), Ok(()));
        assert_eq!(check_url("s3://bucket/prefix"), Ok(()));
    }
}
