//! Format parameters of single codecs (`a=fmtp`): which must agree in an answer, and how those of
//! opus (RFC 7587) and EVS are printed.

use crate::attribute::Codec;
use crate::text::Text;

/// Comparison of a codec's parameters.
enum Comparison {
    /// Parameters are not compared.
    None,
    /// AMR (RFC 4867 §8.1).
    Amr,
    /// EVS.
    Evs,
    /// Parameters are compared as text, byte for byte.
    Text,
}

/// Codecs whose parameters are compared as text.
const AS_TEXT: &[&str] = &[
    "AMR-WB+", "ATRAC3", "DVI4", "G723", "G726-16", "G726-24", "G726-32", "G726-40", "GSM", "iLBC",
    "L16", "QCELP", "speex",
];

/// Whether the parameters of an answer go with those of its offer.
pub(super) fn answers(answered: &Codec, offered: &Codec) -> bool {
    match comparison(answered) {
        Comparison::None => true,
        Comparison::Text => answered.fmtp == offered.fmtp,
        Comparison::Amr => {
            let is_equal = |name: &str| switch(answered, name) == switch(offered, name);
            ["octet-align", "crc", "interleaving", "robust-sorting"]
                .into_iter()
                .all(is_equal)
                && modes_agree(value(answered, "mode-set"), value(offered, "mode-set"))
        }
        Comparison::Evs => EVS.iter().all(|name| match *name {
            "amr-io" | "hf-only" => switch(answered, name) == switch(offered, name),
            name => {
                let both = value(answered, name).zip(value(offered, name));
                both.is_none_or(|(answered, offered)| is_within(answered, offered))
            }
        }),
    }
}

fn comparison(codec: &Codec) -> Comparison {
    let is = |name: &&str| codec.name.eq_ignore_ascii_case(name);
    if ["AMR", "AMR-WB"].iter().any(is) {
        Comparison::Amr
    } else if is(&"EVS") {
        Comparison::Evs
    } else if AS_TEXT.iter().any(is) {
        Comparison::Text
    } else {
        Comparison::None
    }
}

/// `mode-set` of an answer: some of those offered. Absent in the offer means all of them.
fn modes_agree(answered: Option<&[u8]>, offered: Option<&[u8]>) -> bool {
    match (answered, offered) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(answered), Some(offered)) => {
            let is_offered = |mode: &[u8]| {
                offered
                    .split(|&byte| byte == b',')
                    .any(|other| other.trim_ascii() == mode.trim_ascii())
            };
            answered.split(|&byte| byte == b',').all(is_offered)
        }
    }
}

/// Parameters of EVS (3GPP TS 26.445 §A.3.1), and the one by which its AMR-WB mode is named.
const EVS: &[&str] = &[
    "amr-io",
    "hf-only",
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

/// Whether a value of EVS is one of those that another allows: the same, or a bit rate, bandwidth or
/// mode of its range or list.
fn is_within(answered: &[u8], offered: &[u8]) -> bool {
    if answered.eq_ignore_ascii_case(offered) {
        return true;
    }
    if let (Some(inner), Some(outer)) = (range(answered), range(offered)) {
        return outer.0 <= inner.0 && inner.1 <= outer.1;
    }
    answered.contains(&b',') && modes_agree(Some(answered), Some(offered))
}

/// A range such as `5.9-24.4` or `nb-swb`, or one of its values, in tenths or by order.
fn range(value: &[u8]) -> Option<(u32, u32)> {
    let value = std::str::from_utf8(value).ok()?;
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
    whole
        .parse::<u32>()
        .ok()?
        .checked_mul(10)?
        .checked_add(tenths)
}

/// The value of a parameter that is a number, 0 if it is absent.
fn switch<'a>(codec: &'a Codec, name: &str) -> &'a [u8] {
    value(codec, name).unwrap_or(b"0")
}

/// The value of a parameter; empty for one without.
fn value<'a>(codec: &'a Codec, name: &str) -> Option<&'a [u8]> {
    let mut parameters = codec
        .fmtp
        .iter()
        .flat_map(|text| parameters(text.as_bytes()));
    parameters
        .find_map(|(known, value)| known.eq_ignore_ascii_case(name.as_bytes()).then_some(value))
}

fn parameters(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    text.split(|&byte| byte == b';').map(|parameter| {
        let parameter = parameter.trim_ascii();
        match crate::line::split_at_byte(parameter, b'=') {
            Some((name, value)) => (name.trim_ascii(), value.trim_ascii()),
            None => (parameter, &[][..]),
        }
    })
}

/// Parameters of opus that are switches, in the order of printing.
const OPUS_SWITCHES: &[&str] = &["stereo", "sprop-stereo", "useinbandfec", "usedtx", "cbr"];
/// Parameters of opus that are numbers, printed behind the switches.
const OPUS_NUMBERS: &[&str] = &[
    "maxplaybackrate",
    "maxaveragebitrate",
    "sprop-maxcapturerate",
    "minptime",
];

/// The parameters of a codec as they are printed.
pub(super) fn printed(codec: &Codec) -> Vec<Text> {
    if codec.name.eq_ignore_ascii_case("EVS") {
        return known_of_evs(codec);
    }
    if !codec.name.eq_ignore_ascii_case("opus") {
        return codec.fmtp.clone();
    }
    let is_switch = |value: &[u8]| matches!(value, b"0" | b"1");
    let is_number = |value: &[u8]| crate::line::number::<u32>(value).is_some_and(|n| n != 0);
    let switches = OPUS_SWITCHES
        .iter()
        .filter_map(|name| Some((name, value(codec, name).filter(|v| is_switch(v))?)));
    let numbers = OPUS_NUMBERS
        .iter()
        .filter_map(|name| Some((name, value(codec, name).filter(|v| is_number(v))?)));
    let parameters: Vec<Vec<u8>> = switches
        .chain(numbers)
        .map(|(name, value)| [name.as_bytes(), b"=", value].concat())
        .collect();
    joined(&parameters)
}

/// The parameters of EVS that mean something, in the order of the party.
fn known_of_evs(codec: &Codec) -> Vec<Text> {
    let lines = codec.fmtp.iter();
    let given = lines.flat_map(|text| parameters(text.as_bytes()));
    let is_known = |name: &[u8]| {
        let mut known = EVS.iter();
        known.any(|known| known.as_bytes().eq_ignore_ascii_case(name))
    };
    let known = given.filter(|(name, _)| is_known(name));
    let written = known.map(|(name, value)| match value.is_empty() {
        true => name.to_vec(),
        false => [name, b"=", value].concat(),
    });
    joined(&written.collect::<Vec<_>>())
}

fn joined(parameters: &[Vec<u8>]) -> Vec<Text> {
    match parameters.is_empty() {
        true => Vec::new(),
        false => vec![Text::from(parameters.join(&b"; "[..]))],
    }
}
