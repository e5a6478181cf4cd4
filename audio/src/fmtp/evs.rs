//! Parameters of EVS (3GPP TS 26.445 §A.3.1).

use super::{parameter, parameters};

/// Whether the parameters of an answer go with those of its offer: those that change the stream are
/// equal, and others are within what was offered as far as both sides say something.
pub(super) fn answers(answered: &str, offered: &str) -> bool {
    let is_equal = |name: &&str| {
        let values = [answered, offered].map(|fmtp| parameter(fmtp, name).unwrap_or("0"));
        values[0] == values[1]
    };
    ["amr-io", "hf-only"].iter().all(is_equal)
        && parameters(answered)
            .filter(|(name, _)| KNOWN.iter().any(|known| known.eq_ignore_ascii_case(name)))
            .all(|(name, value)| {
                parameter(offered, name).is_none_or(|offered| is_within(value, offered))
            })
}

/// What has a range or a list of values, or one value.
const KNOWN: [&str; 19] = [
    "evs-mode-switch",
    "dtx",
    "dtx-recv",
    "max-red",
    "channels",
    "cmr",
    "br",
    "br-send",
    "br-recv",
    "bw",
    "bw-send",
    "bw-recv",
    "ch-send",
    "ch-recv",
    "ch-aw-recv",
    "mode-set",
    "mode-change-period",
    "mode-change-capability",
    "mode-change-neighbor",
];

/// The same value, or a bit rate, bandwidth or mode of the other's range or list.
fn is_within(answered: &str, offered: &str) -> bool {
    if answered.eq_ignore_ascii_case(offered) {
        return true;
    }
    if let (Some(inner), Some(outer)) = (range(answered), range(offered)) {
        return outer.0 <= inner.0 && inner.1 <= outer.1;
    }
    let is_offered = |mode: &str| offered.split(',').any(|other| other.trim() == mode.trim());
    answered.contains(',') && answered.split(',').all(is_offered)
}

/// A range such as `5.9-24.4` or `nb-swb`, or one of its values, in tenths or by order.
fn range(value: &str) -> Option<(u32, u32)> {
    let (low, high) = value.split_once('-').unwrap_or((value, value));
    Some((place(low)?, place(high)?)).filter(|(low, high)| low <= high)
}

fn place(value: &str) -> Option<u32> {
    const BANDWIDTHS: [&str; 4] = ["nb", "wb", "swb", "fb"];
    let value = value.trim();
    let mut known = BANDWIDTHS.iter();
    if let Some(place) = known.position(|name| name.eq_ignore_ascii_case(value)) {
        return u32::try_from(place).ok();
    }
    let (whole, part) = value.split_once('.').unwrap_or((value, "0"));
    let tenths = part.parse::<u32>().ok().filter(|tenths| *tenths < 10)?;
    let whole = whole.parse::<u32>().ok()?;
    whole.checked_mul(10)?.checked_add(tenths)
}
