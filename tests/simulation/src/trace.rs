//! What happened in a run, as a fingerprint and, when asked for, as lines. Two runs of one seed must have
//! the same fingerprint; where they don't, something reads a clock, an address or a hash map's order.

pub struct Trace {
    fingerprint: u64,
    events: u64,
    prints: bool,
}

impl Trace {
    pub fn new(prints: bool) -> Self {
        Self { fingerprint: 0xCBF2_9CE4_8422_2325, events: 0, prints }
    }

    pub fn event(&mut self, now: u64, who: u64, name: &str, arguments: &[i64]) {
        self.events += 1;
        self.mix(&now.to_le_bytes());
        self.mix(&who.to_le_bytes());
        self.mix(name.as_bytes());
        arguments.iter().for_each(|a| self.mix(&a.to_le_bytes()));
        if self.prints {
            println!("{:>10.3} ms  process {who:<3} {name} {arguments:?}", now as f64 / 1000.0);
        }
    }

    fn mix(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.fingerprint = (self.fingerprint ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }

    /// A remark that only readers need.
    pub fn remark(&self, now: u64, who: u64, text: impl FnOnce() -> String) {
        if self.prints {
            println!("{:>10.3} ms  process {who:<3} {}", now as f64 / 1000.0, text());
        }
    }

    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    pub fn events(&self) -> u64 {
        self.events
    }
}
