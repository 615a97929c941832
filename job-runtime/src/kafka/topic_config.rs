//! A topic's settings. Reading them, since rdkafka's own call does not tell what the broker refuses; and changing those that
//! are named and no other, since its own would set all others back to their defaults.

use super::admin::{AdminClient, ask};
use super::native::{NativeError, c_string, error_text, pointed_text};
use crate::condition::Reason;
use crate::error::{Error, Result};
use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaRespErr;
use std::collections::BTreeMap;

impl AdminClient {
    /// The topic's configuration, defaults included.
    ///
    /// # Errors
    /// `UserFault` where the principal may not look, `Retry` otherwise: also where the broker that was asked has not heard
    /// of a topic just made.
    pub fn config(&self, topic: &str) -> Result<BTreeMap<String, String>> {
        let name = c_string(topic);
        let rk = self.native();
        // SAFETY: what is made here is destroyed here, once; results are only read while their event lives.
        let described = unsafe {
            let resource =
                sys::rd_kafka_ConfigResource_new(sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC, name.as_ptr());
            let mut resources = [resource];
            let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS;
            let send = |options, queue| sys::rd_kafka_DescribeConfigs(rk, resources.as_mut_ptr(), 1, options, queue);
            let described = ask(rk, operation, send, |event| described(event));
            sys::rd_kafka_ConfigResource_destroy(resource);
            described
        };
        described.map_err(|code| {
            let message = format!("could not read the configuration of topic {topic}: {}", error_text(code));
            match code {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED
                | RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED => {
                    Error::user_fault(format!("{message}; grant DESCRIBE_CONFIGS on it")).because(Reason::AccessRefused)
                }
                _ => Error::retry(message),
            }
        })
    }

    /// # Errors
    /// `UserFault` where the principal may not, `Retry` otherwise.
    pub fn set_config(&self, topic: &str, settings: &[(&str, &str)]) -> Result<()> {
        let name = c_string(topic);
        let rk = self.native();
        // SAFETY: every object made here is destroyed here, once; results are only read while their event lives.
        let code = unsafe {
            let resource =
                sys::rd_kafka_ConfigResource_new(sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC, name.as_ptr());
            let added = settings.iter().try_for_each(|(setting, value)| add(resource, setting, value));
            let altered = added.and_then(|()| alter(rk, resource));
            sys::rd_kafka_ConfigResource_destroy(resource);
            altered.err().unwrap_or(RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR)
        };
        let operation = || format!("could not change the settings of topic {topic}: {}", error_text(code));
        match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED
            | RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED
            | RDKafkaRespErr::RD_KAFKA_RESP_ERR_POLICY_VIOLATION => Err(Error::user_fault(operation())),
            _ => Err(Error::retry(operation())),
        }
    }
}

/// # Safety
/// `resource` is live.
unsafe fn add(resource: *mut sys::rd_kafka_ConfigResource_t, setting: &str, value: &str) -> Result<(), RDKafkaRespErr> {
    let (setting, value) = (c_string(setting), c_string(value));
    let set = sys::rd_kafka_AlterConfigOpType_t::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET;
    // SAFETY: by the caller's promise; the strings are copied, and the error is taken once.
    let error = unsafe {
        NativeError::take(sys::rd_kafka_ConfigResource_add_incremental_config(
            resource,
            setting.as_ptr(),
            set,
            value.as_ptr(),
        ))
    };
    error.map_or(Ok(()), |error| Err(error.code))
}

/// # Safety
/// `rk` and `resource` are live.
unsafe fn alter(rk: *mut sys::rd_kafka_t, resource: *mut sys::rd_kafka_ConfigResource_t) -> Result<(), RDKafkaRespErr> {
    let mut resources = [resource];
    // SAFETY: by the caller's promise; `answer` keeps nothing of the event.
    let answered = unsafe {
        let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS;
        let send =
            |options, queue| sys::rd_kafka_IncrementalAlterConfigs(rk, resources.as_mut_ptr(), 1, options, queue);
        ask(rk, operation, send, |event| answer(event))
    };
    match answered {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(code),
    }
}

/// The entries that an answer to DescribeConfigs has of the one resource that was asked for.
///
/// # Safety
/// `event` is null or live.
unsafe fn described(event: *mut sys::rd_kafka_event_t) -> Result<BTreeMap<String, String>, RDKafkaRespErr> {
    if event.is_null() {
        return Err(RDKafkaRespErr::RD_KAFKA_RESP_ERR__TIMED_OUT);
    }
    // SAFETY: by the caller's promise; pointers into the event are not kept.
    unsafe {
        let code = sys::rd_kafka_event_error(event);
        let result = sys::rd_kafka_event_DescribeConfigs_result(event);
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || result.is_null() {
            return Err(code);
        }
        let mut count = 0;
        let resources = sys::rd_kafka_DescribeConfigs_result_resources(result, &mut count);
        if count == 0 {
            return Err(RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC);
        }
        let code = sys::rd_kafka_ConfigResource_error(*resources);
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(code);
        }
        let entries = sys::rd_kafka_ConfigResource_configs(*resources, &mut count);
        if count == 0 {
            return Err(RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC);
        }
        let entry = |i| {
            let entry = *entries.add(i);
            let value = sys::rd_kafka_ConfigEntry_value(entry);
            (!value.is_null()).then(|| (pointed_text(sys::rd_kafka_ConfigEntry_name(entry)), pointed_text(value)))
        };
        Ok((0..count).filter_map(entry).collect())
    }
}

/// What the answer says of the one resource that was asked for.
///
/// # Safety
/// `event` is null or live.
unsafe fn answer(event: *mut sys::rd_kafka_event_t) -> RDKafkaRespErr {
    if event.is_null() {
        return RDKafkaRespErr::RD_KAFKA_RESP_ERR__TIMED_OUT;
    }
    // SAFETY: by the caller's promise; pointers into the event are not kept.
    unsafe {
        let code = sys::rd_kafka_event_error(event);
        let result = sys::rd_kafka_event_IncrementalAlterConfigs_result(event);
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || result.is_null() {
            return code;
        }
        let mut count = 0;
        let resources = sys::rd_kafka_IncrementalAlterConfigs_result_resources(result, &mut count);
        if count == 0 { code } else { sys::rd_kafka_ConfigResource_error(*resources) }
    }
}
