//! From an object's key to the field it belongs to. The records of a topic mostly have the same keys in
//! the same order, written the same way: so what stood between two values last time, for example
//! `,"price": `, is compared as a whole with what stands there now, and only a miss is parsed.

use super::fault::{Fault, Parsed};
use super::scan::Cursor;
use std::collections::HashMap;

/// How many leads of keys that no column wants are remembered; those of wanted keys come on top.
const MAX_UNWANTED: usize = 64;
/// Leads of wanted keys are remembered in this many spellings a key.
const MAX_SPELLINGS: usize = 4;

pub(super) struct Keys {
    fields: HashMap<Box<[u8]>, u32>,
    /// The first two stand for places without a lead: [`START`] and [`UNKNOWN`].
    leads: Vec<Lead>,
    unwanted: usize,
}

/// The bytes from the end of one value (or the opening brace) to the beginning of the next.
struct Lead {
    low: u128,
    low_mask: u128,
    high: u128,
    high_mask: u128,
    length: usize,
    field: Option<u32>,
    /// The lead that came after this one most recently.
    next: usize,
}

/// Where in its sequence of keys an object is: the last lead.
#[derive(Clone, Copy)]
pub(super) struct Progress {
    lead: usize,
}

/// Behind the opening brace. Only what comes here has no comma in it.
const START: usize = 0;
/// Behind a lead that is not remembered.
const UNKNOWN: usize = 1;

impl Keys {
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let fields = names.zip(0..).map(|(name, field)| (name.as_bytes().into(), field)).collect();
        let place = || Lead { low: 0, low_mask: 0, high: 0, high_mask: 0, length: 0, field: None, next: START };
        Self { fields, leads: vec![place(), place()], unwanted: 0 }
    }

    pub(super) fn start(&self) -> Progress {
        Progress { lead: START }
    }

    /// Steps to the next key's value and says which field it is (`Some(None)`: none of them), or that the
    /// closing brace is under the cursor.
    #[inline(always)]
    pub(super) fn next(&mut self, cursor: &mut Cursor<'_>, progress: &mut Progress) -> Parsed<Option<Option<u32>>> {
        let guess = self.leads[progress.lead].next;
        let lead = &self.leads[guess];
        if guess > UNKNOWN && lead.begins(cursor.rest()) {
            cursor.pos += lead.length;
            progress.lead = guess;
            return Ok(Some(lead.field));
        }
        if cursor.peek() == b'}' {
            return Ok(None);
        }
        self.parse(cursor, progress)
    }

    #[inline(never)]
    fn parse(&mut self, cursor: &mut Cursor<'_>, progress: &mut Progress) -> Parsed<Option<Option<u32>>> {
        let start = cursor.pos;
        if !cursor.next_element(progress.lead == START, b'}')? {
            return Ok(None);
        }
        if cursor.peek() != b'"' {
            return Err(Fault::malformed(cursor.pos, "expected a key in quotes"));
        }
        let key = cursor.string()?;
        cursor.colon()?;

        let field = |fields: &HashMap<Box<[u8]>, u32>| fields.get(key.text(&mut Vec::new())).copied();
        let Some(lead) = Lead::new(&cursor.bytes[start..cursor.pos]) else {
            progress.lead = UNKNOWN;
            return Ok(Some(field(&self.fields)));
        };
        if let Some(known) = self.find(&lead, progress.lead) {
            self.leads[progress.lead].next = known;
            progress.lead = known;
            return Ok(Some(self.leads[known].field));
        }
        let field = field(&self.fields);
        match self.remember(Lead { field, ..lead }) {
            Some(new) => {
                self.leads[progress.lead].next = new;
                progress.lead = new;
            }
            None => progress.lead = UNKNOWN,
        }
        Ok(Some(field))
    }

    /// Looks behind the last key first: where fields are left out, the next one is not far.
    fn find(&self, lead: &Lead, after: usize) -> Option<usize> {
        let same = |other: &Lead| other.length == lead.length && other.low == lead.low && other.high == lead.high;
        let (before, behind) = self.leads.split_at(after + 1);
        let found = behind.iter().position(same).map(|at| at + after + 1);
        found.or_else(|| before.iter().position(same))
    }

    fn remember(&mut self, lead: Lead) -> Option<usize> {
        if lead.field.is_none() {
            if self.unwanted == MAX_UNWANTED {
                return None;
            }
            self.unwanted += 1;
        } else if self.leads.len() - self.unwanted > self.fields.len() * MAX_SPELLINGS {
            return None;
        }
        self.leads.push(lead);
        Some(self.leads.len() - 1)
    }
}

impl Lead {
    const CAPACITY: usize = 32;

    fn new(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > Self::CAPACITY {
            return None;
        }
        let mask = |length: usize| if length >= 16 { u128::MAX } else { (1 << (length * 8)) - 1 };
        let mut padded = [0; Self::CAPACITY];
        padded[..bytes.len()].copy_from_slice(bytes);
        let (low, high) = halves(&padded);
        Some(Self {
            low,
            low_mask: mask(bytes.len()),
            high,
            high_mask: mask(bytes.len().saturating_sub(16)),
            length: bytes.len(),
            field: None,
            next: START,
        })
    }

    #[inline(always)]
    fn begins(&self, text: &[u8]) -> bool {
        // A value and a brace follow the lead at least, but near the end there may be fewer bytes than
        // the comparison reads.
        let Some(block) = text.first_chunk::<{ Self::CAPACITY }>() else {
            return self.begins_short(text);
        };
        let (low, high) = halves(block);
        ((low ^ self.low) & self.low_mask) | ((high ^ self.high) & self.high_mask) == 0
    }

    fn begins_short(&self, text: &[u8]) -> bool {
        let mut padded = [0; Self::CAPACITY];
        padded[..text.len()].copy_from_slice(text);
        let (low, high) = halves(&padded);
        text.len() >= self.length && ((low ^ self.low) & self.low_mask) | ((high ^ self.high) & self.high_mask) == 0
    }
}

#[inline(always)]
fn halves(block: &[u8; 32]) -> (u128, u128) {
    let (low, high) = block.split_at(16);
    let half = |bytes: &[u8]| u128::from_le_bytes(bytes.try_into().expect("half of 32 bytes"));
    (half(low), half(high))
}
