//! What becomes of the audio from one media to another, from the codecs that both agreed on (spec:
//! media-services §3, §7).
//!
//! Nothing of it is kept: as the rest of a plan it follows from the state of the call.

use windlass_audio::MAX_ROUTES;
use windlass_audio::chain::Silence;
use windlass_audio::codec::EncoderOptions;
use windlass_audio::format::Format;
use windlass_audio::negotiate::{self, Route, Treatment, cut_ptime};

use super::exchange::AudioDefaults;
use super::model::call::Call;
use super::model::codecs::{Codecs, Times, Wish};
use super::model::leg::LegIndex;
use super::model::media::Media;
use crate::flow::conversion::Conversion;

/// The conversion between two medias; `None`: packets pass as they are.
pub(super) fn between(from: &Media, to: &Media, audio: &AudioDefaults) -> Option<Box<Conversion>> {
    let (sender, receiver) = (from.codecs(), to.codecs());
    if sender.is_none() && receiver.is_none() {
        return None;
    }
    let (sends, takes) = (list(sender, receiver)?, list(receiver, sender)?);
    let either = |is: fn(&Codecs) -> bool| sender.is_some_and(is) || receiver.is_some_and(is);
    let force = either(|codecs| codecs.converts_all);
    let detects = sender.is_some_and(|codecs| codecs.detects);
    let times = |codecs: Option<&Codecs>| codecs.map(|codecs| codecs.times).unwrap_or_default();
    let (sent, taken) = (times(sender), times(receiver));
    let mut routes = negotiate::routes(&sends, &takes, force || detects, &audio.support);
    if is_cut_anew(&routes, sent, taken) {
        routes = negotiate::routes(&sends, &takes, true, &audio.support);
    }
    routes.truncate(MAX_ROUTES);
    if !routes.iter().any(changes) {
        return None;
    }
    let output = routes.iter().find_map(|route| match &route.treatment {
        Treatment::Convert(to) | Treatment::Sound(to) => Some(to.clone()),
        Treatment::Drop | Treatment::Rescale(_) | Treatment::Pass(_) => None,
    });
    let mut conversion = Conversion {
        detect: detects,
        keep_audio_in_events: audio.keep_audio_in_events,
        timestamp_gaps: audio.timestamp_gaps,
        ..Conversion::default()
    };
    if let Some(output) = output {
        let wish = receiver.and_then(|codecs| codecs.wish(output.payload_type));
        conversion.ptime_ms = ptime_ms(&output, sent, taken, wish);
        conversion.encoder = wish.map(encoder).unwrap_or_default();
        let beside = |is: fn(&Format) -> bool| {
            let mut formats = takes.iter().filter(|format| is(format));
            formats.find(|format| format.clock == output.clock).cloned()
        };
        // Digits of a party without events are in its audio, and nowhere else.
        let has_events = sends.iter().any(Format::is_event);
        conversion.events = beside(Format::is_event).filter(|_| !has_events);
        conversion.detect |= conversion.events.is_some();
        conversion.silence = beside(Format::is_noise)
            .filter(|_| audio.silence_below > 0)
            .map(|noise| Silence {
                threshold: audio.silence_below,
                noise,
                payload: audio.noise.clone(),
            });
    }
    conversion.routes = routes;
    Some(Box::new(conversion))
}

/// What a party sends and takes: what it agreed on with its peer; of a source that nothing is kept
/// of, what its hearer was told that it sends.
fn list(own: Option<&Codecs>, other: Option<&Codecs>) -> Option<Vec<Format>> {
    if let Some(own) = own.filter(|own| !own.agreed.is_empty()) {
        return Some(own.agreed.clone());
    }
    let offer = other?.offered.as_ref().filter(|_| own.is_none())?;
    let formats = offer.offered.iter().map(|entry| entry.format.clone());
    Some(formats.collect())
}

/// Whether a payload type arrives as another one, or not at all.
fn changes(route: &Route) -> bool {
    !matches!(route.treatment, Treatment::Pass(to) if to == route.from.payload_type)
}

/// Whether packets that could pass have another length than a request wants.
fn is_cut_anew(routes: &[Route], sent: Times, taken: Times) -> bool {
    let Some(forced) = taken.forced else {
        return false;
    };
    let passing = routes.iter().find(|route| {
        !route.from.is_supplemental() && matches!(route.treatment, Treatment::Pass(_))
    });
    let Some(def) = passing.and_then(|route| route.from.def()) else {
        return false;
    };
    def.fit_ptime(forced) != sent.said.unwrap_or(def.default_ptime)
}

/// Packet time of what leaves, in ms.
fn ptime_ms(output: &Format, sent: Times, taken: Times, wish: Option<&Wish>) -> u32 {
    let wished = wish.and_then(|wish| wish.ptime);
    let cut = cut_ptime(
        output,
        true,
        taken.forced,
        taken.said,
        sent.said,
        wished,
        taken.maximum,
    );
    cut.unwrap_or_default()
}

fn encoder(wish: &Wish) -> EncoderOptions {
    EncoderOptions {
        bit_rate: wish.bit_rate,
        options: wish.options.clone(),
    }
}

/// A direction of a call that is converted, by positions of legs and medias.
pub(super) struct Converted {
    /// Whose audio it is.
    pub(super) from: (LegIndex, usize),
    /// Who gets it.
    pub(super) to: (LegIndex, usize),
    /// How.
    pub(super) conversion: Box<Conversion>,
}

impl Converted {
    /// Whether a media has part in it.
    pub(super) fn involves(&self, leg: LegIndex, media: usize) -> bool {
        self.from == (leg, media) || self.to == (leg, media)
    }

    /// The pairs of codecs, as `list transcoders` names them.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        let routes = self.conversion.routes.iter();
        routes.filter_map(|route| match &route.treatment {
            Treatment::Convert(to) => {
                Some(format!("{} -> {}", route.from.encoding(), to.encoding()))
            }
            _ => None,
        })
    }
}

/// All directions of a call that are converted.
pub(super) fn of_call(call: &Call, audio: &AudioDefaults) -> Vec<Converted> {
    let mut found = Vec::new();
    let medias = || call.legs.iter().flat_map(|leg| &leg.medias);
    if !medias().any(|media| media.codecs().is_some()) {
        return found;
    }
    for (leg_index, leg) in call
        .legs
        .iter()
        .enumerate()
        .filter(|(_, leg)| leg.is_here())
    {
        for (index, media) in leg.medias.iter().enumerate().filter(|(_, m)| !m.rejected) {
            let by_answer = leg.sources.iter().filter_map(|&source| {
                let mut theirs = call.legs.get(source)?.medias.iter();
                Some((source, theirs.position(|other| other.line == media.line)?))
            });
            let extras = media.extras.as_deref();
            let subscriptions = extras.map_or(&[][..], |extras| &extras.subscriptions);
            let subscribed = subscriptions.iter().map(|other| (other.leg, other.media));
            let mut sources: Vec<(LegIndex, usize)> = by_answer.chain(subscribed).collect();
            sources.sort_unstable();
            sources.dedup();
            for from in sources {
                let source = call.legs.get(from.0).filter(|leg| leg.is_here());
                let source = source.and_then(|leg| leg.medias.get(from.1));
                let source = source.filter(|source| source.transport.is_rtp() && !source.rejected);
                if let Some(conversion) = source.and_then(|source| between(source, media, audio)) {
                    found.push(Converted {
                        from,
                        to: (leg_index, index),
                        conversion,
                    });
                }
            }
        }
    }
    found
}
