//! What a recorder is told of the medias that it gets (RFC 7866; spec: ng-protocol §5,
//! `tag-medias`).

use windlass_ng::{Dict, Value};
use windlass_sdp::{Direction, Text};

use super::sources::SourceMedia;
use crate::call::model::call::Call;

/// The label of a media.
pub(super) fn label(call: &Call, source: SourceMedia) -> Option<Text> {
    let number = call.media(source)?.number?;
    Some(Text::from(number.to_string()))
}

/// `tag-medias`, an entry per line of the subscriber, and `media-labels`.
pub(super) fn describe(reply: &mut Dict, call: &Call, sources: &[SourceMedia]) {
    let mut labels = Dict::new();
    let mut lines: Vec<Value> = Vec::new();
    for &source in sources {
        let (Some(leg), Some(media)) = (call.legs.get(source.leg), call.media(source)) else {
            continue;
        };
        let label = media.number.unwrap_or_default().to_string();
        // What we do with the source.
        let said = call.direction_said(source);
        let mode = Direction::from_flags(said.receives(), said.sends()).name();
        let tag = leg.tag.as_ref().map_or(&b""[..], |tag| tag.as_bytes());
        let described = Dict::new()
            .with("index", source.media as u64 + 1)
            .with("type", media.kind_text.as_bytes())
            .with("label", label.clone())
            .with("mode", mode);
        let by_label = Dict::new()
            .with("tag", tag)
            .with("index", source.media as u64 + 1)
            .with("type", media.kind_text.as_bytes())
            .with_some("label", leg.label.as_ref())
            .with("mode", mode);
        labels.push(label, by_label);
        let line = Dict::new()
            .with("tag", tag)
            .with_some("label", leg.label.as_ref())
            .with("medias", Value::List(vec![described.into()]));
        lines.push(line.into());
    }
    reply.push("tag-medias", Value::List(lines));
    reply.push("media-labels", labels);
}
