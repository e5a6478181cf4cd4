//! What is done to one packet whose index is known: the predefined transforms of RFC 3711 §4
//! ([`Separate`]: encryption and authentication are two steps) and those of RFC 7714 ([`Aead`]).

mod aead;
mod aes;
mod mac;
mod separate;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use aead::Aead;
pub(crate) use aes::Aes;
pub(crate) use separate::Separate;

/// First bytes of the tag of a sealed packet: equal for equal packets under one index alone.
pub(crate) type Print = u64;

fn print(tag: &[u8]) -> Print {
    tag.first_chunk().copied().map_or(0, Print::from_be_bytes)
}

/// Rollover counter of an index of SRTP.
fn rollover(index: u64) -> [u8; 4] {
    let [_, _, r0, r1, r2, r3, _, _] = index.to_be_bytes();
    [r0, r1, r2, r3]
}

/// The bit of SRTCP's index word that says that the packet is encrypted (RFC 3711 §3.4).
pub(crate) const ENCRYPTED: u32 = 1 << 31;
