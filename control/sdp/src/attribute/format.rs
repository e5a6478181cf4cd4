//! Format parameters of single codecs (`a=fmtp`): which must agree in an answer, and how those of
//! opus (RFC 7587) are printed.

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
        Comparison::Evs => ["amr-io", "hf-only"]
            .into_iter()
            .all(|name| switch(answered, name) == switch(offered, name)),
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
    match parameters.is_empty() {
        true => Vec::new(),
        false => vec![Text::from(parameters.join(&b"; "[..]))],
    }
}
