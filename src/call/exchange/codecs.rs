//! The codecs shown to a party (spec: ng-protocol §8.7, sdp-rewriting §12), as far as they need no
//! engine that converts between them.

use windlass_ng::Request;
use windlass_ng::request::CodecSpec;
use windlass_sdp::Codec;

use super::MediaExchange;
use super::extensions::is_named;
use crate::call::model::dialogue::Role;
use crate::flow::PayloadTypes;

impl MediaExchange<'_> {
    /// Applies the request's codec options to the media.
    pub(super) fn filter_codecs(&mut self) {
        if self.role != Role::Offer {
            return;
        }
        let request = self.request;
        let mut ignored = PayloadTypes::default();
        for codec in &self.description.codecs {
            if matches_any(&request.codec.ignore, codec) {
                ignored.insert(codec.payload_type);
            }
        }
        if ignored != PayloadTypes::default() || self.sender.extras.is_some() {
            self.sender.extras_mut().ignored = ignored;
        }
        let options = &request.extmap;
        let mut extensions = self.description.extmaps.iter();
        let is_hidden =
            |extmap| is_named(extmap, &options.strip) || is_named(extmap, &options.mask);
        if self.sender.is_passed_through() && extensions.any(is_hidden) {
            tracing::warn!("header extensions are left out of SDP alone: packets pass unread");
        }
    }
}

/// The codecs of an offer, from those that the offerer named. Empty: none is left, and that is
/// what was asked for (`allow-no-codec-media`).
pub(crate) fn offered_codecs(input: &[Codec], request: &Request) -> Vec<Codec> {
    let options = &request.codec;
    if options.is_empty() {
        return input.to_vec();
    }
    let is_exempt = |codec: &Codec| matches_any(&options.except, codec);
    let strips_all = options.strip.iter().any(CodecSpec::is_all);
    let masks_all = options
        .mask
        .iter()
        .chain(&options.consume)
        .any(CodecSpec::is_all);
    let is_left = |codec: &&Codec| {
        let all = strips_all || masks_all;
        let named = [&options.strip, &options.consume, &options.mask]
            .iter()
            .any(|list| matches_any(list, codec));
        // An exemption is from "all"; what is named stands.
        !named && (!all || is_exempt(codec))
    };
    let mut left: Vec<Codec> = input.iter().filter(is_left).cloned().collect();
    // Brought back, in the order in which they are listed: what the engine need not convert.
    for spec in options.offer.iter().chain(&options.transcode) {
        for codec in input.iter().filter(|codec| spec_matches(spec, codec)) {
            if !left
                .iter()
                .any(|known| known.payload_type == codec.payload_type)
            {
                left.push(codec.clone());
            }
        }
    }
    let is_unknown = |spec: &&CodecSpec| !input.iter().any(|codec| spec_matches(spec, codec));
    for spec in options.transcode.iter().filter(is_unknown) {
        tracing::warn!(codec = %spec.name, "not offered: there is no codec engine to transcode");
    }
    restored(left, input, request)
}

/// The codecs that a publisher is to send (ng-protocol §5, Publish codec choice): the first of its
/// `accept` list that it offers, else the first that a codec engine could convert for subscribers;
/// with `any` whatever comes first. The supplementary codecs of its clock rate stay beside it.
/// `all` keeps every convertible codec, with `any` the whole list. `None`: nothing that the media
/// offers is acceptable.
pub(crate) fn published_codecs(input: &[Codec], request: &Request) -> Option<Vec<Codec>> {
    let offered = offered_codecs(input, request);
    let accepted = &request.codec.accept;
    let has = |word: &str| {
        let mut specs = accepted.iter();
        specs.any(|spec| spec.name.eq_ignore_ascii_case(word))
    };
    let is_kept = |codec: &Codec| has("any") || is_convertible(codec) || is_supplementary(codec);
    if has("all")
        && offered
            .iter()
            .any(|codec| is_kept(codec) && !is_supplementary(codec))
    {
        return Some(
            offered
                .iter()
                .filter(|codec| is_kept(codec))
                .cloned()
                .collect(),
        );
    }
    let main = || offered.iter().filter(|codec| !is_supplementary(codec));
    let preferred = accepted
        .iter()
        .find_map(|spec| main().find(|codec| spec_matches(spec, codec)));
    let convertible = || main().find(|codec| has("any") || is_convertible(codec));
    let mut chosen = preferred.or_else(convertible);
    if chosen.is_none() && main().next().is_none() {
        // A media of events alone.
        chosen = offered.first();
    }
    let Some(chosen) = chosen else {
        return offered.is_empty().then(Vec::new);
    };
    let goes_beside =
        |codec: &&Codec| is_supplementary(codec) && codec.clock_rate == chosen.clock_rate;
    let is_kept = |codec: &&Codec| codec.payload_type == chosen.payload_type || goes_beside(codec);
    Some(offered.iter().filter(is_kept).cloned().collect())
}

/// Whether a codec goes beside another one: events, comfort noise, redundancy.
fn is_supplementary(codec: &Codec) -> bool {
    ["telephone-event", "CN", "red"]
        .iter()
        .any(|name| codec.name.eq_ignore_ascii_case(name))
}

/// Whether the reference can decode the codec (media-behaviour §14).
fn is_convertible(codec: &Codec) -> bool {
    const KNOWN: [&str; 23] = [
        "PCMU",
        "PCMA",
        "G722",
        "G723",
        "G729",
        "G729a",
        "opus",
        "speex",
        "GSM",
        "G726-16",
        "G726-24",
        "G726-32",
        "G726-40",
        "L16",
        "telephone-event",
        "CN",
        "red",
        "AMR",
        "AMR-WB",
        "iLBC",
        "EVRC",
        "QCELP",
        "EVS",
    ];
    KNOWN
        .iter()
        .any(|name| codec.name.eq_ignore_ascii_case(name))
}

/// The codecs of an answer for the offerer: those common to both, in the answerer's order. If the
/// answerer chose one that was not offered, the offerer's first.
pub(crate) fn answered_codecs(
    answered: &[Codec],
    offered: &[Codec],
    ignored: PayloadTypes,
    request: &Request,
) -> Vec<Codec> {
    let answered: Vec<Codec> = answered
        .iter()
        .map(|codec| explained(codec, offered))
        .collect();
    let answered = filtered(&answered, request);
    // The offerer did not declare any other number than those of its offer.
    let any_number = request.flags.allow_asymmetric_codecs();
    let mut common = in_common(&answered, offered, ignored, any_number);
    if request.flags.single_codec() && !offered.is_empty() {
        keep_first(&mut common);
    }
    common
}

/// The codecs that an offer and its answer have in common, as the answer describes them.
pub(crate) fn common_codecs(
    answered: &[Codec],
    offered: &[Codec],
    ignored: PayloadTypes,
) -> Vec<Codec> {
    let answered: Vec<Codec> = answered
        .iter()
        .map(|codec| explained(codec, offered))
        .collect();
    let is_offered = |codec: &Codec| {
        let mut offered = offered.iter();
        offered.any(|other| other.payload_type == codec.payload_type && codec.answers(other))
    };
    // Numbers of the answerer's own count where the offerer took them.
    let any_number = !answered.iter().any(is_offered);
    in_common(&answered, offered, ignored, any_number)
}

/// What of an answer was offered; the first codec of the offer, if nothing was.
fn in_common(
    answered: &[Codec],
    offered: &[Codec],
    ignored: PayloadTypes,
    any_number: bool,
) -> Vec<Codec> {
    if offered.is_empty() {
        return answered.to_vec();
    }
    let is_offered = |codec: &&Codec| {
        offered.iter().any(|other| {
            let is_number = other.payload_type == codec.payload_type;
            let is_same = match codec.is_known() {
                true => (is_number || any_number) && codec.answers(other),
                false => is_number,
            };
            is_same && !ignored.contains(other.payload_type)
        })
    };
    let mut common: Vec<Codec> = answered.iter().filter(is_offered).cloned().collect();
    if common.is_empty() {
        let first = offered
            .iter()
            .find(|codec| !ignored.contains(codec.payload_type));
        common.extend(first.or_else(|| offered.first()).cloned());
    }
    common
}

/// A codec of an answer, with what the offer says of its payload type where the answer says
/// nothing: phones leave out the rtpmap of what was just offered to them.
fn explained(codec: &Codec, offered: &[Codec]) -> Codec {
    let mut codec = codec.clone();
    let same = |other: &&Codec| other.payload_type == codec.payload_type;
    if !codec.is_known()
        && let Some(offer) = offered.iter().find(same)
    {
        codec.name.clone_from(&offer.name);
        (codec.clock_rate, codec.channels) = (offer.clock_rate, offer.channels);
    }
    codec
}

/// `strip` and `offer` of an answer.
fn filtered(answered: &[Codec], request: &Request) -> Vec<Codec> {
    let options = &request.codec;
    if options.strip.is_empty() {
        return answered.to_vec();
    }
    let strips_all = options.strip.iter().any(CodecSpec::is_all);
    let is_left = |codec: &&Codec| {
        !matches_any(&options.strip, codec) && (!strips_all || matches_any(&options.except, codec))
    };
    let mut left: Vec<Codec> = answered.iter().filter(is_left).cloned().collect();
    for spec in &options.offer {
        for codec in answered.iter().filter(|codec| spec_matches(spec, codec)) {
            if !left
                .iter()
                .any(|known| known.payload_type == codec.payload_type)
            {
                left.push(codec.clone());
            }
        }
    }
    restored(left, answered, request)
}

/// An operation that leaves nothing is undone, unless the request says that it may.
fn restored(left: Vec<Codec>, input: &[Codec], request: &Request) -> Vec<Codec> {
    if !left.is_empty() || request.flags.allow_no_codec_media() {
        return left;
    }
    if !input.is_empty() {
        tracing::warn!("the codec options leave none; all stay");
    }
    input.to_vec()
}

/// Keeps the first codec, and the events and comfort noise that go with its clock.
fn keep_first(codecs: &mut Vec<Codec>) {
    let is_supplemental =
        |codec: &Codec| codec.is_telephone_event() || codec.name.eq_ignore_ascii_case("CN");
    let Some(first) = codecs.iter().find(|codec| !is_supplemental(codec)) else {
        return;
    };
    let (payload_type, clock_rate) = (first.payload_type, first.clock_rate);
    codecs.retain(|codec| {
        codec.payload_type == payload_type
            || is_supplemental(codec) && codec.clock_rate == clock_rate
    });
}

fn matches_any(specs: &[CodecSpec], codec: &Codec) -> bool {
    specs.iter().any(|spec| spec_matches(spec, codec))
}

fn spec_matches(spec: &CodecSpec, codec: &Codec) -> bool {
    spec.matches(
        &codec.name.as_str_lossy(),
        codec.clock_rate,
        u32::from(codec.channels_or_one()),
    )
}
