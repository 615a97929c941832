//! Delivery reports of a producer: the first failure is kept until somebody asks.

use std::sync::{Arc, OnceLock};

use anyhow::{Result, bail};
use rdkafka::ClientContext;
use rdkafka::producer::{DeliveryResult, ProducerContext};

/// Shared by a producer and whoever fills it.
#[derive(Clone, Default)]
pub(crate) struct Deliveries {
    failure: Arc<OnceLock<String>>,
}

impl Deliveries {
    /// Fails if a record could not be delivered.
    pub(crate) fn check(&self) -> Result<()> {
        match self.failure.get() {
            Some(failure) => bail!("a record was not delivered: {failure}"),
            None => Ok(()),
        }
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _opaque: ()) {
        if let Err((error, _)) = result {
            // Only the first failure is of interest; later ones follow from it.
            self.failure.get_or_init(|| error.to_string());
        }
    }
}
