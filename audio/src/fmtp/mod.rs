//! Format parameters (`a=fmtp`): read, compared and printed, per codec.

pub mod amr;
mod evs;
pub mod opus;

use crate::catalogue::CodecId;
use crate::format::Format;

/// Whether a codec of an answer is that of the offer: name, clock, channels, and what of the
/// parameters decides whether the two sides understand each other.
pub fn answers(answered: &Format, offered: &Format) -> bool {
    if !answered.is_named_like(offered) {
        return false;
    }
    let Some(id) = offered.id() else {
        // Nobody knows what the parameters of an unknown codec mean.
        return true;
    };
    match id {
        CodecId::Pcmu
        | CodecId::Pcma
        | CodecId::G722
        | CodecId::G729
        | CodecId::G729a
        | CodecId::Opus
        | CodecId::TelephoneEvent
        | CodecId::ComfortNoise => true,
        CodecId::Amr | CodecId::AmrWb => {
            let (answered, offered) = (read_amr(answered), read_amr(offered));
            answered.has_framing_of(&offered)
                && match (&answered.mode_set, &offered.mode_set) {
                    (_, None) => true,
                    (None, Some(_)) => false,
                    (Some(answered), Some(offered)) => offered.contains_all(*answered),
                }
        }
        CodecId::Evs => evs::answers(&answered.fmtp, &offered.fmtp),
        _ => answered.fmtp == offered.fmtp,
    }
}

/// Whether an offered codec is the one that `transcode` wants, so that none has to be added.
/// `wanted.fmtp` is empty if the option names no parameters.
pub fn is_wanted(wanted: &Format, offered: &Format) -> bool {
    if !wanted.is_named_like(offered) {
        return false;
    }
    match offered.id() {
        Some(CodecId::Amr | CodecId::AmrWb) if !wanted.fmtp.is_empty() => {
            let (wanted, offered) = (read_amr(wanted), read_amr(offered));
            wanted.has_framing_of(&offered)
                && wanted.mode_set == offered.mode_set
                && wanted.mode_change_period == offered.mode_change_period
        }
        Some(CodecId::Gsm | CodecId::Ilbc | CodecId::Speex | CodecId::G723) => {
            wanted.fmtp.is_empty() || wanted.fmtp == offered.fmtp
        }
        _ => true,
    }
}

/// Whether an offered codec is one that `accept` names.
pub fn is_acceptable(wanted: &Format, offered: &Format) -> bool {
    if !wanted.is_named_like(offered) {
        return false;
    }
    match offered.id() {
        Some(CodecId::Amr | CodecId::AmrWb) if !wanted.fmtp.is_empty() => {
            let (wanted, offered) = (read_amr(wanted), read_amr(offered));
            wanted.octet_align == offered.octet_align
                && match (&wanted.mode_set, &offered.mode_set) {
                    (None, _) => true,
                    (Some(_), None) => false,
                    (Some(wanted), Some(offered)) => wanted.contains_all(*offered),
                }
        }
        _ => true,
    }
}

/// Whether audio under these parameters can be converted at all: AMR with checksums, sorted or
/// interleaved frames cannot.
pub fn is_convertible(format: &Format) -> bool {
    match format.id() {
        Some(CodecId::Amr | CodecId::AmrWb) => {
            let amr = read_amr(format);
            !amr.crc && !amr.robust_sorting && !amr.interleaving
        }
        _ => true,
    }
}

/// Whether G.729 with Annex B (silence frames) was agreed on: absent means yes (RFC 4856 §2.1.9).
pub fn has_annex_b(fmtp: &str) -> bool {
    parameter(fmtp, "annexb").is_none_or(|value| !value.eq_ignore_ascii_case("no"))
}

/// Parameters of the usual form, `name=value; name=value`, in their order. A parameter without a
/// value has an empty one.
pub fn parameters(fmtp: &str) -> impl Iterator<Item = (&str, &str)> {
    let parts = fmtp.split(';').map(str::trim);
    let parts = parts.filter(|part| !part.is_empty());
    parts.map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (name.trim(), value.trim())
    })
}

/// The value of a parameter; names are compared without case.
pub fn parameter<'a>(fmtp: &'a str, name: &str) -> Option<&'a str> {
    let mut all = parameters(fmtp);
    let found = all.find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value)
}

/// Whether an event of this number is among those of a telephone-event format, such as
/// `0-15,66,70`. Without a list it is 0 to 15 (RFC 4733 §2.4.1).
pub fn has_event(fmtp: &str, event: u8) -> bool {
    let list = fmtp.trim();
    let list = list.strip_prefix("events=").unwrap_or(list);
    if list.is_empty() {
        return event <= 15;
    }
    list.split(',').any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let bound = |text: &str| text.trim().parse::<u8>().ok();
        match (bound(first), bound(last)) {
            (Some(first), Some(last)) => (first..=last).contains(&event),
            _ => false,
        }
    })
}

fn read_amr(format: &Format) -> amr::Parameters {
    amr::Parameters::parse(&format.fmtp)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
