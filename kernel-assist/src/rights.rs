//! Capabilities of this process.

use std::fs;

/// Capabilities that steering needs, by their bit (capabilities(7)), and which one does as well.
const NEEDED: [(u32, Option<u32>, &str); 4] = [
    (12, None, "CAP_NET_ADMIN"),
    (13, None, "CAP_NET_RAW"),
    // Without it the verifier refuses programs that compute where to read in a packet.
    (38, Some(CAP_SYS_ADMIN), "CAP_PERFMON"),
    (39, Some(CAP_SYS_ADMIN), "CAP_BPF"),
];

/// Required before CAP_BPF and CAP_PERFMON existed, and still accepted in their place.
const CAP_SYS_ADMIN: u32 = 21;

/// The names of the capabilities that steering needs and this process does not have.
pub fn missing() -> Vec<&'static str> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    missing_in(&status)
}

fn missing_in(status: &str) -> Vec<&'static str> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let held = line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    let held = held.unwrap_or(0);
    let is_held = |bit: u32| held >> bit & 1 == 1;
    let missing = NEEDED
        .iter()
        .filter(|(bit, or, _)| !is_held(*bit) && !or.is_some_and(is_held));
    missing.map(|(_, _, name)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let status = |bits: &str| format!("Name:\tx\nCapPrm:\t0\nCapEff:\t{bits}\n");
        assert_eq!(missing_in(&status("000001fffeffffff")), [""; 0]);
        assert_eq!(
            missing_in(&status("0000000000003000")),
            ["CAP_PERFMON", "CAP_BPF"],
            "a container with the rights of a network"
        );
        assert_eq!(missing_in(&status("0000000000203000")), [""; 0]);
        assert_eq!(missing_in(&status("000000c000003000")), [""; 0]);
        assert_eq!(missing_in("").len(), 4);
    }
}
