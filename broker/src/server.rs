//! Connections: frames in, frames out. Requests of one connection are performed one after the other
//! and answered in order, as in Kafka; what a request means is `handlers`' business.

use std::io;
use std::pin::pin;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{ApiKey, RequestHeader, RequestKind, ResponseHeader, ResponseKind};
use kafka_protocol::protocol::{Decodable, Encodable};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::api_versions;
use crate::faults::Fate;
use crate::handlers;
use crate::node::Node;
use crate::stop::Stopped;

/// Largest request, as Kafka's `socket.request.max.bytes`.
const MAX_REQUEST_BYTES: usize = 100 * 1024 * 1024;
const REQUEST_HEADER_MIN: usize = 8;
/// What a response may have beside record batches, as a first guess.
const RESPONSE_OVERHEAD: usize = 1024;

/// Why a connection is closed by the broker.
#[derive(Debug, Error)]
enum ConnectionError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("a request of {0} bytes is too large")]
    TooLarge(i32),
    #[error("a request too short to have a header")]
    TooShort,
    #[error("API key {key} version {version} is not supported")]
    Unsupported { key: i16, version: i16 },
    #[error("{api:?} version {version}: {reason}")]
    Protocol { api: ApiKey, version: i16, reason: String },
}

/// A request as far as it must be read to know what to do with it.
struct Incoming {
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    frame: Bytes,
}

/// Accepts connections until it is stopped; then ends them all.
pub(crate) async fn serve(listener: TcpListener, node: Arc<Node>, mut stopped: Stopped) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stopped.wait() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let connection = serve_connection(stream, Arc::clone(&node));
                    connections.spawn(async move {
                        if let Err(error) = connection.await {
                            report(&peer.to_string(), &error);
                        }
                    });
                }
                Err(error) => {
                    // Out of file handles, most likely: others must close theirs first.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            },
        }
    }
    connections.shutdown().await;
}

fn report(peer: &str, error: &ConnectionError) {
    match error {
        ConnectionError::Io(error) => tracing::debug!(peer, %error, "connection lost"),
        error => tracing::warn!(peer, %error, "closed a connection"),
    }
}

async fn serve_connection(stream: TcpStream, node: Arc<Node>) -> Result<(), ConnectionError> {
    stream.set_nodelay(true)?;
    let host = stream.peer_addr()?.ip().to_string();
    let mut closes = node.faults.closes();
    closes.mark_unchanged();
    answer_requests(stream, node, host, closes).await
}

async fn answer_requests(
    mut stream: TcpStream,
    node: Arc<Node>,
    host: String,
    mut closes: watch::Receiver<u64>,
) -> Result<(), ConnectionError> {
    loop {
        let frame = tokio::select! {
            biased;
            _ = closes.changed() => return Ok(()),
            frame = read_frame(&mut stream) => frame?,
        };
        let Some(frame) = frame else { return Ok(()) };
        let incoming = peek(frame)?;
        let mut meeting = pin!(node.faults.meet(incoming.api));
        let fate = tokio::select! {
            biased;
            _ = closes.changed() => {
                // What a fault holds was on its way already, and arrives although nobody waits for it.
                drop(stream);
                if matches!(meeting.await, Fate::Perform | Fate::PerformSilently) {
                    perform(incoming, &node, &host).await?;
                }
                return Ok(());
            }
            fate = &mut meeting => fate,
        };
        match fate {
            Fate::Ignore => continue,
            Fate::CloseConnection => return Ok(()),
            Fate::Perform | Fate::PerformSilently => {}
        }
        let response = tokio::select! {
            biased;
            _ = closes.changed() => return Ok(()),
            response = perform(incoming, &node, &host) => response?,
        };
        if let (Some(response), Fate::Perform) = (response, fate) {
            stream.write_all(&response).await?;
        }
    }
}

/// One request without its length, or `None` where the client has closed the connection.
async fn read_frame(stream: &mut TcpStream) -> Result<Option<Bytes>, ConnectionError> {
    let length = match stream.read_i32().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let size = usize::try_from(length).unwrap_or(usize::MAX);
    if size > MAX_REQUEST_BYTES {
        return Err(ConnectionError::TooLarge(length));
    }
    let mut frame = BytesMut::with_capacity(size);
    let mut limited = stream.take(size as u64);
    while frame.len() < size {
        if limited.read_buf(&mut frame).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
    Ok(Some(frame.freeze()))
}

fn peek(frame: Bytes) -> Result<Incoming, ConnectionError> {
    if frame.len() < REQUEST_HEADER_MIN {
        return Err(ConnectionError::TooShort);
    }
    let mut start = &frame[..REQUEST_HEADER_MIN];
    let (key, version, correlation_id) = (start.get_i16(), start.get_i16(), start.get_i32());
    let api = ApiKey::try_from(key).map_err(|()| ConnectionError::Unsupported { key, version })?;
    Ok(Incoming { api, version, correlation_id, frame })
}

/// Performs a request; answers the response's frame, if it gets one.
async fn perform(incoming: Incoming, node: &Arc<Node>, host: &str) -> Result<Option<BytesMut>, ConnectionError> {
    let Incoming { api, version, correlation_id, mut frame } = incoming;
    if !api_versions::supports(api, version) {
        if api != ApiKey::ApiVersions {
            return Err(ConnectionError::Unsupported { key: api as i16, version });
        }
        // A client that is newer than we are learns from this, in version 0, what we speak.
        let error = ResponseError::UnsupportedVersion.code();
        let response = ResponseKind::ApiVersions(api_versions::response().with_error_code(error));
        return encode(api, 0, correlation_id, &response).map(Some);
    }
    let protocol =
        |error: &dyn std::fmt::Display| ConnectionError::Protocol { api, version, reason: format!("{error:#}") };
    let header =
        RequestHeader::decode(&mut frame, api.request_header_version(version)).map_err(|error| protocol(&error))?;
    let request = RequestKind::decode(api, &mut frame, version).map_err(|error| protocol(&error))?;
    // With acks=0 the client does not expect an answer.
    let silent = matches!(&request, RequestKind::Produce(produce) if produce.acks == 0);
    let client =
        handlers::Client { id: header.client_id.as_deref().unwrap_or_default().to_owned(), host: host.to_owned() };
    let response = handlers::handle(request, version, client, node).await.map_err(|error| protocol(&error))?;
    if silent { Ok(None) } else { encode(api, version, correlation_id, &response).map(Some) }
}

fn encode(
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    response: &ResponseKind,
) -> Result<BytesMut, ConnectionError> {
    let protocol = |error: &dyn std::fmt::Display| ConnectionError::Protocol {
        api,
        version,
        reason: format!("the response: {error:#}"),
    };
    let mut frame = BytesMut::with_capacity(RESPONSE_OVERHEAD + handlers::record_bytes(response));
    frame.put_i32(0);
    ResponseHeader::default()
        .with_correlation_id(correlation_id)
        .encode(&mut frame, api.response_header_version(version))
        .map_err(|error| protocol(&error))?;
    response.encode(&mut frame, version).map_err(|error| protocol(&error))?;
    let length = i32::try_from(frame.len() - 4).map_err(|error| protocol(&error))?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}
