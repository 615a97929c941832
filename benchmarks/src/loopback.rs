//! Bytes that came over the loopback device: the engine-independent evidence that a run has read its
//! input. A sink that is a blackhole looks the same whether rows went into it or not. Others on the
//! machine add to the count, so it can show that too little was read and not that all was.

use anyhow::{Context, Result};

pub(crate) fn received_bytes() -> Result<u64> {
    const PATH: &str = "/proc/net/dev";
    let devices = std::fs::read_to_string(PATH).with_context(|| format!("reading {PATH}"))?;
    received_by_loopback(&devices).with_context(|| format!("{PATH} has no loopback device"))
}

fn received_by_loopback(devices: &str) -> Option<u64> {
    let counters = devices.lines().find_map(|line| line.trim().strip_prefix("lo:"))?;
    counters.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_counter_of_lo_is_what_it_received() {
        let devices = "Inter-| Receive\n face |bytes packets\n  eth0: 7 1 0\n    lo: 123 4 0\n";
        assert_eq!(received_by_loopback(devices), Some(123));
        assert_eq!(received_by_loopback("  eth0: 7 1 0\n"), None);
    }
}
