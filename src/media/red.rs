//! Redundant audio (RFC 2198): the blocks of one payload.
//!
//! ```text
//!  0                   1                   2                   3
//! |F|   block PT  |  timestamp offset         |   block length    |
//! ```
//!
//! Each block but the last has such a header; the last has its first byte alone, without F.

/// The payload types of the blocks, as far as the headers reach.
pub fn payload_types(payload: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        let (&first, _) = rest.split_first()?;
        let is_last = first & 0x80 == 0;
        rest = match is_last {
            true => &[],
            false => rest.get(4..).unwrap_or_default(),
        };
        Some(first & 0x7f)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_named() {
        let types = |payload: &[u8]| payload_types(payload).collect::<Vec<u8>>();
        let packed = [0x80 | 101, 0, 0, 4, 0, 5, 10, 0, 160, 0xd5];
        assert_eq!(types(&packed), [101, 0]);
        assert_eq!(types(&[101]), [101]);
        assert_eq!(types(&[0x80 | 101, 0, 0]), [101]);
        assert!(types(&[]).is_empty());
    }
}
