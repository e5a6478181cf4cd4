//! The conversion of one direction as text: from what, to what, and why.

use windlass_audio::catalogue::{Backend, Cost};
use windlass_audio::format::Format;
use windlass_audio::library::LIBRARIES;
use windlass_audio::negotiate::Treatment;

use crate::flow::conversion::Conversion;

/// What becomes of each payload type, and how.
pub(super) fn text(conversion: &Conversion) -> String {
    let mut parts = Vec::new();
    for route in &conversion.routes {
        let from = &route.from;
        parts.push(match &route.treatment {
            Treatment::Convert(to) => {
                let why = match from.is_named_like(to) {
                    true => "an option wants it decoded, or cut anew",
                    false => "the receiver does not have it",
                };
                format!(
                    "{} becomes {} ({why}; {})",
                    name(from),
                    name(to),
                    cost(from, to)
                )
            }
            Treatment::Sound(to) => {
                format!(
                    "{} becomes sound in {}, as the receiver has no such type",
                    name(from),
                    name(to)
                )
            }
            Treatment::Rescale(to) => format!("{} becomes {}", name(from), name(to)),
            Treatment::Drop => format!("{} ends here: the receiver has no such type", name(from)),
            Treatment::Pass(to) if *to == from.payload_type => format!("{} passes", name(from)),
            Treatment::Pass(to) => format!("{} passes as payload type {to}", name(from)),
        });
    }
    if conversion.ptime_ms > 0 {
        parts.push(format!("packets of {} ms", conversion.ptime_ms));
    }
    if let Some(bit_rate) = conversion.encoder.bit_rate {
        parts.push(format!("at most {bit_rate} bit/s"));
    }
    if let Some(events) = &conversion.events {
        parts.push(format!("digits in the audio become {}", name(events)));
    } else if conversion.detect {
        parts.push("the audio is searched for digits".to_owned());
    }
    if let Some(silence) = &conversion.silence {
        parts.push(format!("silence becomes {}", name(&silence.noise)));
    }
    parts.join(", ")
}

/// `8 PCMA/8000`.
fn name(format: &Format) -> String {
    format!("{} {}", format.payload_type, format.encoding())
}

/// Where it is worked out, and by what.
fn cost(from: &Format, to: &Format) -> String {
    let defs = [from.def(), to.def()];
    let is_heavy = defs.iter().flatten().any(|def| def.cost() == Cost::Heavy);
    let mut brought = Vec::new();
    for def in defs.iter().flatten() {
        let Backend::Library(id) = def.backend else {
            continue;
        };
        let mut known = LIBRARIES.iter().filter(|info| info.id == id);
        brought.extend(known.next().map(|info| info.files.join(" and ")));
    }
    brought.dedup();
    let class = if is_heavy {
        "by a codec thread"
    } else {
        "by the worker"
    };
    match brought.is_empty() {
        true => class.to_owned(),
        false => format!("{class}, {}", brought.join(", ")),
    }
}
