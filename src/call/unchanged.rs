//! Whether media needs no conversion between two legs.

use super::media::Media;

/// Whether packets of one media can go to another as they are: both plain, both passed through,
/// or both under the same keys.
pub(crate) fn passes_unchanged(from: &Media, to: &Media) -> bool {
    if from.is_passed_through() || !from.transport.is_rtp() {
        return true;
    }
    match (from.is_secure(), to.is_secure()) {
        (false, false) => true,
        (true, true) => has_keys_of(from, to) && has_keys_of(to, from),
        _ => false,
    }
}

/// Whether what `from` encrypts is what `to` was told to decrypt.
fn has_keys_of(from: &Media, to: &Media) -> bool {
    let keys = |media: &Media, theirs: bool| {
        let extras = media.extras.as_deref();
        let sdes = &extras.filter(|extras| extras.dtls.is_none())?.sdes;
        // An answer has one line, and that names the one of the offer that counts.
        let tag = match (sdes.theirs.as_slice(), sdes.ours.as_slice()) {
            ([answer], _) | (_, [answer]) => answer.tag,
            _ => return None,
        };
        let lines = if theirs { &sdes.theirs } else { &sdes.ours };
        lines.iter().find(|line| line.tag == tag).cloned()
    };
    match (keys(from, true), keys(to, false)) {
        (Some(encrypts), Some(decrypts)) => {
            encrypts.suite == decrypts.suite
                && encrypts.key_salt() == decrypts.key_salt()
                && encrypts.mki == decrypts.mki
        }
        _ => false,
    }
}
