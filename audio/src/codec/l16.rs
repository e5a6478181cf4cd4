//! L16: linear samples of 16 bits in network byte order, channels interleaved (RFC 3551 §4.5.11).

/// Appends the samples of a payload. An odd byte at the end is left out.
pub fn decode(payload: &[u8], samples: &mut Vec<i16>) {
    let (pairs, _) = payload.as_chunks::<2>();
    samples.extend(pairs.iter().map(|pair| i16::from_be_bytes(*pair)));
}

/// Appends the payload of samples.
pub fn encode(samples: &[i16], payload: &mut Vec<u8>) {
    payload.extend(samples.iter().flat_map(|sample| sample.to_be_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_in_network_byte_order() {
        let mut payload = Vec::new();
        encode(&[0x0102, -2], &mut payload);
        assert_eq!(payload, [0x01, 0x02, 0xff, 0xfe]);
    }

    #[test]
    fn an_odd_byte_is_left_out() {
        let mut samples = Vec::new();
        decode(&[0x80, 0x00, 0x7f, 0xff, 0x12], &mut samples);
        assert_eq!(samples, [i16::MIN, i16::MAX]);
    }
}
