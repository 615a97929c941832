//! The volumes of a job's pods: each claimed by the first pod of its number, found again by those that come after, and on
//! its way out for a while once nobody keeps it.

use super::SimulatedPod;
use serde_json::Value;
use std::collections::BTreeMap;

/// Ticks from the deletion of a volume that no pod has to its end.
const GOES: u32 = 6;

#[derive(Default)]
pub(super) struct Claims(BTreeMap<u32, Claim>);

struct Claim {
    template: Value,
    /// Its end is that of its pod.
    goes_along: bool,
    /// Ticks until it is gone.
    going: Option<u32>,
}

impl Claims {
    /// A pod gets its volume, an old one where there is one. False where it has to wait.
    pub(super) fn bind(&mut self, ordinal: u32, template: &Value) -> Result<bool, String> {
        if template.is_null() {
            return Ok(true);
        }
        match self.0.get(&ordinal) {
            Some(claim) if claim.goes() => Ok(false),
            Some(claim) if claim.template != *template => {
                Err(format!("pod {ordinal} gets a volume of the set before its own"))
            }
            Some(_) => Ok(true),
            None => {
                self.0.insert(ordinal, Claim { template: template.clone(), goes_along: false, going: None });
                Ok(true)
            }
        }
    }

    pub(super) fn scaled_away(&mut self, ordinal: u32, goes_along: bool) {
        self.0.entry(ordinal).and_modify(|claim| claim.goes_along = goes_along);
    }

    pub(super) fn delete(&mut self, from: u32) {
        self.0.range_mut(from..).for_each(|(_, claim)| claim.going = claim.going.or(Some(GOES)));
    }

    /// Whether a volume is on its way out, or was its pod's, which is.
    pub(super) fn any_goes(&self) -> bool {
        self.0.values().any(Claim::goes)
    }

    /// One that a pod has stays until that is gone.
    pub(super) fn tick(&mut self, pods: &[SimulatedPod]) {
        for (ordinal, claim) in &mut self.0 {
            if pods.iter().any(|pod| pod.ordinal == *ordinal) {
                continue;
            }
            if claim.goes_along {
                claim.going.get_or_insert(GOES);
            }
            claim.going = claim.going.map(|left| left.saturating_sub(1));
        }
        self.0.retain(|_, claim| claim.going != Some(0));
    }

    pub(super) fn numbers(&self) -> Vec<u32> {
        self.0.keys().copied().collect()
    }
}

impl Claim {
    fn goes(&self) -> bool {
        self.goes_along || self.going.is_some()
    }
}
