//! Requests that clients hide or can't send, in Kafka's protocol, one connection each: what state a transaction is
//! in, a request to end it that nobody waits for any more, and one setting of a topic changed without the others.

use super::PATIENCE;
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{
    DescribeConfigsRequest, DescribeTransactionsRequest, EndTxnRequest, FindCoordinatorRequest,
    IncrementalAlterConfigsRequest, ProducerId, RequestHeader, ResponseHeader, TransactionalId,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

/// FindCoordinator, for transactional ids.
const TRANSACTION: i8 = 1;
/// The version that librdkafka sends. From 5 on the epoch rises with each transaction (KIP-890, part 2).
const END_TXN_VERSION: i16 = 1;

/// Topics, among what has settings.
const TOPIC: i8 = 2;

/// Sets one setting of a topic, and leaves the others.
pub(crate) fn set_config(bootstrap: &str, topic: &str, setting: &str, value: &str) -> Result<(), ResponseError> {
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    // Operation 0 sets.
    let change = AlterableConfig::default().with_name(text(setting)).with_value(Some(text(value)));
    let resource = AlterConfigsResource::default().with_resource_type(TOPIC).with_resource_name(text(topic));
    let resources = vec![resource.with_configs(vec![change])];
    let request = IncrementalAlterConfigsRequest::default().with_resources(resources);
    let altered = ask(bootstrap, &request, 1).responses.pop().expect("an answer for each topic");
    ResponseError::try_from_code(altered.error_code).map_or(Ok(()), Err)
}

/// A setting of a topic.
pub(crate) fn config(bootstrap: &str, topic: &str, setting: &str) -> String {
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let resource = DescribeConfigsResource::default().with_resource_type(TOPIC).with_resource_name(text(topic));
    let resources = vec![resource.with_configuration_keys(Some(vec![text(setting)]))];
    let found = ask(bootstrap, &DescribeConfigsRequest::default().with_resources(resources), 4);
    let value = found.results.into_iter().flat_map(|topic| topic.configs).find_map(|config| config.value);
    value.unwrap_or_else(|| panic!("{topic} has no setting {setting}")).to_string()
}

/// Who may write under a transactional id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Registration {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
}

/// The broker that coordinates the transactions of one id.
pub(crate) struct Coordinator {
    address: String,
    id: TransactionalId,
}

impl Coordinator {
    pub(crate) fn of(bootstrap: &str, transactional_id: &str) -> Self {
        let key = StrBytes::from_string(transactional_id.to_owned());
        let request =
            FindCoordinatorRequest::default().with_key_type(TRANSACTION).with_coordinator_keys(vec![key.clone()]);
        let any = bootstrap.split(',').next().unwrap_or_default();
        let found = ask(any, &request, 4).coordinators.pop().expect("an answer for each key");
        assert_eq!(found.error_code, 0, "no coordinator of {transactional_id}: {:?}", found.error_message);
        Self { address: format!("{}:{}", found.host.as_str(), found.port), id: TransactionalId(key) }
    }

    /// Who is registered now, and in Kafka's words the state of the transaction.
    pub(crate) fn describe(&self) -> (Registration, String) {
        let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![self.id.clone()]);
        let found = ask(&self.address, &request, 0).transaction_states.pop().expect("an answer for each id");
        assert_eq!(found.error_code, 0, "could not describe {:?}", self.id);
        let registration = Registration { producer_id: found.producer_id.0, epoch: found.producer_epoch };
        (registration, found.transaction_state.to_string())
    }

    /// Returns when no transaction is under way, and all markers of the last one are written.
    pub(crate) fn until_settled(&self) {
        let end = Instant::now() + PATIENCE;
        loop {
            let (_, state) = self.describe();
            if ["Empty", "CompleteCommit", "CompleteAbort"].contains(&state.as_str()) {
                return;
            }
            assert!(Instant::now() < end, "waited {PATIENCE:?} for {:?} to settle: {state}", self.id);
        }
    }

    pub(crate) fn end(&self, of: Registration, committed: bool) -> Result<(), ResponseError> {
        let request = EndTxnRequest::default()
            .with_transactional_id(self.id.clone())
            .with_producer_id(ProducerId(of.producer_id))
            .with_producer_epoch(of.epoch)
            .with_committed(committed);
        let code = ask(&self.address, &request, END_TXN_VERSION).error_code;
        ResponseError::try_from_code(code).map_or(Ok(()), Err)
    }
}

pub(super) fn ask<R: Request>(address: &str, request: &R, version: i16) -> R::Response {
    let header = RequestHeader::default().with_request_api_key(R::KEY).with_request_api_version(version);
    let mut body = BytesMut::new();
    header.encode(&mut body, R::header_version(version)).expect("the header has this version");
    request.encode(&mut body, version).expect("the request has this version");
    let mut frame = BytesMut::with_capacity(body.len() + 4);
    frame.put_u32(u32::try_from(body.len()).expect("requests are small"));
    frame.put(body);
    let mut answer = exchange(address, &frame).unwrap_or_else(|error| panic!("asking {address}: {error}"));
    ResponseHeader::decode(&mut answer, R::Response::header_version(version)).expect("a header of this version");
    R::Response::decode(&mut answer, version).expect("an answer of this version")
}

/// The answer without its length.
fn exchange(address: &str, frame: &[u8]) -> std::io::Result<Bytes> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.write_all(frame)?;
    let mut length = [0; 4];
    connection.read_exact(&mut length)?;
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    connection.read_exact(&mut answer)?;
    Ok(answer.into())
}
