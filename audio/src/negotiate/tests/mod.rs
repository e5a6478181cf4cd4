//! The tables of docs/spec/media-services.md §3, row by row.

mod answers;
mod offers;
mod ptimes;
mod routes;

use super::*;
use crate::catalogue;

/// Every library is there.
fn support() -> Support {
    Support::with(|_| true)
}

/// A list such as `8 0 96 opus/48000/2 {useinbandfec=1} 97 te/8000`: a number alone is what RFC
/// 3551 assigns, or events at 8 kHz; `te` is telephone-event.
fn list(text: &str) -> Vec<Format> {
    let mut formats: Vec<Format> = Vec::new();
    let mut words = text.split_whitespace().peekable();
    while let Some(word) = words.next() {
        if let Some(fmtp) = word.strip_prefix('{') {
            let mut fmtp = fmtp.to_owned();
            while !fmtp.ends_with('}') {
                fmtp = format!("{fmtp} {}", words.next().unwrap());
            }
            formats.last_mut().unwrap().fmtp = fmtp.trim_end_matches('}').to_owned();
            continue;
        }
        let payload_type: u8 = word.parse().unwrap();
        let is_name = |word: &&str| word.starts_with(|c: char| c.is_ascii_alphabetic());
        let named = words.next_if(is_name);
        let (name, clock, channels) = match (named, catalogue::by_static_type(payload_type)) {
            (Some(name), _) => {
                let mut fields = name.split('/');
                let name = fields.next().unwrap().replace("te", "telephone-event");
                let def = catalogue::by_name(&name);
                let clock = fields.next().map(|clock| clock.parse().unwrap());
                let clock = clock.unwrap_or_else(|| def.map_or(8000, |def| def.default_clock));
                let channels = fields.next().map(|channels| channels.parse().unwrap());
                (name, clock, channels.unwrap_or(1))
            }
            (None, Some((def, clock, channels))) => (def.name.to_owned(), clock, channels),
            (None, None) => ("telephone-event".to_owned(), 8000, 1),
        };
        formats.push(Format {
            payload_type,
            name,
            clock,
            channels,
            fmtp: String::new(),
        });
    }
    formats
}

/// Options such as `strip=all transcode=PCMU,opus always-transcode`; names with commas in their
/// parameters have `+` in place of them.
fn options(text: &str) -> Options {
    let mut options = Options::default();
    for option in text.split_whitespace() {
        let (key, names) = option.split_once('=').unwrap_or((option, ""));
        let names = names.replace(',', " ");
        let specs: Vec<CodecSpec> = names
            .split_whitespace()
            .map(|name| {
                let name = name.replace('+', ",");
                CodecSpec::parse(if name == "te" {
                    "telephone-event"
                } else {
                    &name
                })
            })
            .collect();
        match key {
            "strip" => options.strip = specs,
            "except" => options.except = specs,
            "offer" => options.offer = specs,
            "ignore" => options.ignore = specs,
            "transcode" => options.transcode = specs,
            "mask" => options.mask = specs,
            "accept" => options.accept = specs,
            "consume" => options.consume = specs,
            "set" => options.set = specs,
            "always-transcode" => options.always_transcode = true,
            "allow-no-codec-media" => options.allow_no_codec = true,
            "reuse-codecs" => options.reuse = true,
            "static-codecs" => options.keep_static = true,
            other => panic!("{other}"),
        }
    }
    options
}

/// A list as the tables write it: names only where the number does not say them.
fn print(formats: &[Format]) -> String {
    let words: Vec<String> = formats
        .iter()
        .map(|format| {
            let assigned = catalogue::by_static_type(format.payload_type);
            let is_assigned = assigned.is_some_and(|(def, clock, channels)| {
                def.name.eq_ignore_ascii_case(&format.name)
                    && (clock, channels) == (format.clock, format.channels)
            });
            let is_plain_event = format.is_event() && format.clock == 8000;
            if format.fmtp.is_empty() && (is_assigned || is_plain_event) {
                return format.payload_type.to_string();
            }
            format.to_string().replace("telephone-event", "te")
        })
        .collect();
    words.join(" ")
}

fn offered(text: &str, wanted: &str) -> Offer {
    offer(&list(text), &options(wanted), Before::default(), &support())
}

fn answered(offer: &Offer, text: &str, flags: &AnswerOptions) -> Agreement {
    answer(offer, &list(text), flags, &support())
}
