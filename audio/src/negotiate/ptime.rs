//! Packet times: what is printed, and what packets are cut to.

use crate::format::Format;

/// What an offer and its options say of packet times, in ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PtimeOptions {
    /// `ptime`: towards the receiver.
    pub forced: Option<u32>,
    /// `ptime-reverse`: towards the offerer.
    pub forced_reverse: Option<u32>,
}

/// The `a=ptime` of an offer and of its answer, as printed. `offered` and `answered` are what the
/// two parties wrote.
pub fn printed_ptime(
    options: PtimeOptions,
    offered: Option<u32>,
    answered: Option<u32>,
) -> (Option<u32>, Option<u32>) {
    let to_receiver = options.forced.or(offered);
    // Who sends packets of a length that we chose keeps the offerer's own away from it.
    let own = options.forced.and(offered);
    let to_offerer = options.forced_reverse.or(own).or(answered);
    (to_receiver, to_offerer)
}

/// What the packets of one direction are cut to, in ms. `None`: they pass as they come.
///
/// `forced` is the option of this direction, `receiver` and `sender` what the parties wrote
/// themselves, `spec` what the name of an added codec says, `maximum` the receiver's `a=maxptime`.
/// `is_converted` tells that sender and receiver have different codecs.
pub fn cut_ptime(
    codec: &Format,
    is_converted: bool,
    forced: Option<u32>,
    receiver: Option<u32>,
    sender: Option<u32>,
    spec: Option<u32>,
    maximum: Option<u32>,
) -> Option<u32> {
    if forced.is_none() && !is_converted {
        return None;
    }
    let def = codec.def()?;
    let stated = forced.or(receiver).or(sender).or(spec);
    let wanted = stated.unwrap_or(def.default_ptime);
    let wanted = wanted.min(maximum.filter(|ms| *ms > 0).unwrap_or(u32::MAX));
    Some(def.fit_ptime(wanted.min(crate::limits::MAX_FRAME_MS)))
}
