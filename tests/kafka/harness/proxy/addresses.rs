//! The answers that name brokers, and how another address is written into them. An answer in which nothing
//! has to be replaced stays as it is.

use super::frames::LENGTH_BYTES;
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, ResponseHeader, ResponseKind};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

/// From which version on an answer of this kind names brokers; None: never.
fn names_brokers_from(api: ApiKey) -> Option<i16> {
    match api {
        ApiKey::Metadata | ApiKey::FindCoordinator | ApiKey::DescribeCluster | ApiKey::ShareFetch => Some(0),
        ApiKey::ShareAcknowledge => Some(0),
        // KIP-951: where a partition's leader has moved to.
        ApiKey::Produce => Some(10),
        ApiKey::Fetch => Some(16),
        _ => None,
    }
}

/// The frame of a response with every broker's address replaced by what `port_for` says; None where the
/// frame can be passed on as it is.
pub(super) fn replace(
    api: ApiKey,
    version: i16,
    frame: &Bytes,
    port_for: impl Fn(&str) -> std::net::SocketAddr,
) -> Result<Option<BytesMut>, String> {
    if names_brokers_from(api).is_none_or(|from| version < from) {
        return Ok(None);
    }
    let problem = |error: &dyn std::fmt::Display| format!("{api:?} version {version}: {error:#}");
    let mut rest = frame.slice(LENGTH_BYTES..);
    let header_version = api.response_header_version(version);
    let header = ResponseHeader::decode(&mut rest, header_version).map_err(|error| problem(&error))?;
    let mut response = ResponseKind::decode(api, &mut rest, version).map_err(|error| problem(&error))?;
    let mut replaced = false;
    each_address(&mut response, &mut |host, port| {
        // A coordinator that is not known has no host.
        if !host.is_empty() && *port > 0 {
            let at = port_for(&format!("{}:{port}", host.as_str()));
            (*host, *port) = (StrBytes::from_string(at.ip().to_string()), i32::from(at.port()));
            replaced = true;
        }
    });
    if !replaced {
        return Ok(None);
    }
    let mut frame = BytesMut::with_capacity(frame.len() + 64);
    frame.put_u32(0);
    header.encode(&mut frame, header_version).map_err(|error| problem(&error))?;
    response.encode(&mut frame, version).map_err(|error| problem(&error))?;
    let length = u32::try_from(frame.len() - LENGTH_BYTES).map_err(|error| problem(&error))?;
    frame[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(Some(frame))
}

fn each_address(response: &mut ResponseKind, each: &mut dyn FnMut(&mut StrBytes, &mut i32)) {
    match response {
        ResponseKind::Metadata(found) => found.brokers.iter_mut().for_each(|b| each(&mut b.host, &mut b.port)),
        ResponseKind::DescribeCluster(found) => found.brokers.iter_mut().for_each(|b| each(&mut b.host, &mut b.port)),
        ResponseKind::FindCoordinator(found) => {
            each(&mut found.host, &mut found.port);
            found.coordinators.iter_mut().for_each(|c| each(&mut c.host, &mut c.port));
        }
        ResponseKind::Produce(done) => done.node_endpoints.iter_mut().for_each(|n| each(&mut n.host, &mut n.port)),
        ResponseKind::Fetch(found) => found.node_endpoints.iter_mut().for_each(|n| each(&mut n.host, &mut n.port)),
        ResponseKind::ShareFetch(found) => found.node_endpoints.iter_mut().for_each(|n| each(&mut n.host, &mut n.port)),
        ResponseKind::ShareAcknowledge(done) => {
            done.node_endpoints.iter_mut().for_each(|n| each(&mut n.host, &mut n.port));
        }
        _ => {}
    }
}
