//! One connection: requests to the broker, answers to the client, and what a fault does to them. A request
//! that is held arrives at the broker in the end even if its client has gone: it was on its way.

use super::Shared;
use super::addresses;
use super::faults::{Action, Caught, EffectId};
use super::frames::{Frames, LENGTH_BYTES};
use bytes::{Buf, Bytes};
use kafka_protocol::messages::{ApiKey, EndTxnRequest, EndTxnResponse, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::Decodable;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::watch;

/// How long the broker may take to answer what a client that is gone has asked.
const LAST_ANSWER: Duration = Duration::from_secs(60);

/// A request that the broker has not answered yet.
struct Asked {
    api: ApiKey,
    version: i16,
    effect: Option<EffectId>,
    /// Its answer is lost.
    silent: bool,
}

/// What the two directions of a connection share.
struct Link {
    shared: Arc<Shared>,
    number: u64,
    asked: Mutex<HashMap<i32, Asked>>,
    /// Changes with every answer.
    answers: watch::Sender<u64>,
    /// True once the client is gone, or was hung up on.
    gone: watch::Sender<bool>,
}

/// Passes on what comes until one of the two has gone; fails only on what it does not understand.
pub(super) async fn serve(
    shared: &Arc<Shared>,
    number: u64,
    client: TcpStream,
    broker: TcpStream,
) -> Result<(), String> {
    // Without it small answers wait for others; that it fails says that the connection is gone.
    if client.set_nodelay(true).and(broker.set_nodelay(true)).is_err() {
        return Ok(());
    }
    let link = Link {
        shared: shared.clone(),
        number,
        asked: Mutex::default(),
        answers: watch::Sender::new(0),
        gone: watch::Sender::new(false),
    };
    let (from_client, to_client) = client.into_split();
    let (from_broker, mut to_broker) = broker.into_split();
    let (mut from_client, mut from_broker) = (Frames::new(from_client), Frames::new(from_broker));
    let mut answers = std::pin::pin!(link.pass_answers(&mut from_broker, to_client));
    tokio::select! {
        biased;
        ended = &mut answers => return ended,
        ended = link.pass_requests(&mut from_client, &mut to_broker) => ended?,
    }
    // The client is gone. Nothing that it asked is left undone because the connection closes too early.
    from_client.close();
    link.gone.send_replace(true);
    tokio::select! {
        biased;
        ended = &mut answers => ended,
        () = link.all_answered() => Ok(()),
        () = tokio::time::sleep(LAST_ANSWER) => Ok(()),
    }
}

impl Link {
    async fn pass_requests(&self, client: &mut Frames, broker: &mut OwnedWriteHalf) -> Result<(), String> {
        let mut closes = self.shared.faults.closes();
        closes.mark_unchanged();
        loop {
            let frame = tokio::select! {
                biased;
                _ = closes.changed() => return Ok(()),
                frame = client.next() => frame.map_err(|error| error.to_string())?,
            };
            let Some(frame) = frame else { return Ok(()) };
            let (api, version, correlation) = peek(&frame)?;
            let caught = self.shared.faults.arrive(api, || Caught {
                connection: self.number,
                transactional_id: transactional_id(api, version, &frame),
            });
            let (effect, action) = caught.map_or((None, None), |(effect, action)| (Some(effect), Some(action)));
            if let (Some(effect), Some(action)) = (effect, &action) {
                self.hold(effect, action, client, &mut closes).await;
            }
            match action {
                Some(Action::DropRequest) => {
                    self.took(effect, None);
                    continue;
                }
                Some(Action::CloseBefore) => {
                    self.took(effect, None);
                    return Ok(());
                }
                _ => {}
            }
            self.shared.traffic().requests += 1;
            let silent = matches!(action, Some(Action::DropResponse | Action::CloseAfter));
            self.asked().insert(correlation, Asked { api, version, effect, silent });
            if broker.write_all(&frame).await.is_err() || matches!(action, Some(Action::CloseAfter)) {
                return Ok(());
            }
        }
    }

    /// Waits for as long as a request is held. Notices meanwhile that its client goes away.
    async fn hold(&self, effect: EffectId, action: &Action, client: &mut Frames, closes: &mut watch::Receiver<u64>) {
        let begun = Instant::now();
        let mut held = std::pin::pin!(action.held());
        let mut there = true;
        loop {
            tokio::select! {
                biased;
                () = &mut held => break,
                _ = closes.changed(), if there => {
                    client.close();
                    there = false;
                }
                () = client.until_end(), if there => there = false,
            }
            self.gone.send_replace(true);
        }
        self.shared.faults.note(effect, |effect| {
            effect.held = begun.elapsed();
            effect.client_gone = !there;
        });
    }

    async fn pass_answers(&self, broker: &mut Frames, client: OwnedWriteHalf) -> Result<(), String> {
        let mut client = Some(client);
        let mut gone = self.gone.subscribe();
        loop {
            let frame = tokio::select! {
                biased;
                _ = gone.changed(), if client.is_some() => {
                    client = None;
                    continue;
                }
                frame = broker.next() => frame.map_err(|error| error.to_string())?,
            };
            let Some(frame) = frame else { return Ok(()) };
            let correlation = frame.get(LENGTH_BYTES..).filter(|rest| rest.len() >= 4).map(|mut rest| rest.get_i32());
            let correlation = correlation.ok_or("an answer too short to have a header")?;
            let asked = self.asked().remove(&correlation).ok_or("an answer that nobody has asked for")?;
            let replaced = addresses::replace(asked.api, asked.version, &frame, |at| self.shared.port_for(at))?;
            {
                let mut traffic = self.shared.traffic();
                traffic.responses += 1;
                traffic.rewritten += u64::from(replaced.is_some());
            }
            self.took(asked.effect, error_code(asked.api, asked.version, &frame));
            if let Some(to) = client.as_mut().filter(|_| !asked.silent) {
                let written = to.write_all(replaced.as_deref().unwrap_or(&frame)).await;
                if written.is_err() {
                    client = None;
                }
            }
            self.answers.send_modify(|count| *count += 1);
        }
    }

    async fn all_answered(&self) {
        let mut answers = self.answers.subscribe();
        while !self.asked().is_empty() && answers.changed().await.is_ok() {}
    }

    fn took(&self, effect: Option<EffectId>, error_code: Option<i16>) {
        if let Some(effect) = effect {
            self.shared.faults.note(effect, |effect| {
                effect.took = true;
                effect.error_code = error_code;
            });
        }
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, HashMap<i32, Asked>> {
        self.asked.lock().expect("nobody panics with it")
    }
}

/// What is asked for, in which version, and the number that the answer will carry.
fn peek(frame: &Bytes) -> Result<(ApiKey, i16, i32), String> {
    let mut head = frame.get(LENGTH_BYTES..LENGTH_BYTES + 8).ok_or("a request too short to have a header")?;
    let (key, version, correlation) = (head.get_i16(), head.get_i16(), head.get_i32());
    let api = ApiKey::try_from(key).map_err(|()| format!("there is no API key {key}"))?;
    Ok((api, version, correlation))
}

/// Whose transaction a request ends.
fn transactional_id(api: ApiKey, version: i16, frame: &Bytes) -> Option<String> {
    let mut rest = frame.slice(LENGTH_BYTES..);
    RequestHeader::decode(&mut rest, api.request_header_version(version)).ok()?;
    let end = (api == ApiKey::EndTxn).then(|| EndTxnRequest::decode(&mut rest, version).ok())??;
    Some(end.transactional_id.to_string())
}

/// What the broker said to the end of a transaction.
fn error_code(api: ApiKey, version: i16, frame: &Bytes) -> Option<i16> {
    let mut rest = frame.slice(LENGTH_BYTES..);
    ResponseHeader::decode(&mut rest, api.response_header_version(version)).ok()?;
    let ended = (api == ApiKey::EndTxn).then(|| EndTxnResponse::decode(&mut rest, version).ok())??;
    Some(ended.error_code)
}
