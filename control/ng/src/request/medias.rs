//! The nested lists of `create`, `transform` and `mesh`: `medias` and `tags`.

use std::net::{IpAddr, SocketAddr};

use super::{
    CodecSpec, MediaSpec, MeshEntry, Tag,
    media::{CodecFormat, CodecMapping, FamilyValue},
    read::{ip, name, push, text, text_or_int, unsigned},
};
use crate::{errors, names::same, tape::Node};

/// Reads `medias`. Members that are no dictionary are left out.
pub(super) fn read(value: Node<'_>) -> Result<Vec<MediaSpec>, &'static str> {
    let mut medias = Vec::new();
    for member in value.members().filter(|member| member.is_dict()) {
        let mut media = MediaSpec::default();
        for (key, value) in member.entries() {
            if same(key, b"type") {
                media.kind = text(value);
            } else if same(key, b"id") {
                media.id = text_or_int(value);
            } else if same(key, b"codec") || same(key, b"codecs") {
                for codec in value.members() {
                    if let Some(mapping) = mapping(codec) {
                        push(&mut media.codecs, mapping);
                    }
                }
            } else if same(key, b"destination") && value.is_dict() {
                media.destination = Some(destination(value)?);
            }
        }
        push(&mut medias, media);
    }
    Ok(medias)
}

/// Reads `tags`.
pub(super) fn mesh(value: Node<'_>) -> Result<Vec<MeshEntry>, &'static str> {
    let mut entries = Vec::new();
    for member in value.members().filter(|member| member.is_dict()) {
        let (mut from, mut to) = (None, Vec::new());
        for (key, value) in member.entries() {
            if same(key, b"from") {
                from = name::<Tag>(value);
            } else if same(key, b"to") {
                for tag in value.strings() {
                    push(&mut to, Tag::from(tag));
                }
            }
        }
        let from = from.ok_or(errors::FROM_TAG_EMPTY)?;
        push(&mut entries, MeshEntry { from, to });
    }
    Ok(entries)
}

fn mapping(node: Node<'_>) -> Option<CodecMapping> {
    if let Some(text) = node.as_bytes() {
        let input = CodecFormat {
            spec: CodecSpec::parse(text),
            payload_type: None,
        };
        return Some(CodecMapping {
            input,
            output: None,
        });
    }
    let mut found = node.is_dict().then(CodecMapping::default)?;
    for (key, value) in node.entries() {
        if same(key, b"input") {
            found.input = format(value);
        } else if same(key, b"output") {
            found.output = Some(format(value));
        }
    }
    Some(found)
}

fn format(node: Node<'_>) -> CodecFormat {
    let mut format = CodecFormat::default();
    for (key, value) in node.entries() {
        if same(key, b"codec") {
            format.spec.name = text(value).unwrap_or_default();
        } else if same(key, b"payload-type") {
            format.payload_type = value.to_int().and_then(|int| u8::try_from(int).ok());
        } else if same(key, b"clock-rate") {
            format.spec.clock_rate = unsigned(value);
        } else if same(key, b"channels") {
            format.spec.channels = unsigned(value);
        } else if same(key, b"format") {
            format.spec.format = text(value).unwrap_or_default();
        } else if same(key, b"options") {
            format.spec.options = text(value).unwrap_or_default();
        }
    }
    format
}

fn destination(node: Node<'_>) -> Result<SocketAddr, &'static str> {
    let (mut family, mut address, mut port) = (None, None, None);
    for (key, value) in node.entries() {
        if same(key, b"family") {
            family = value.as_bytes().and_then(FamilyValue::lookup);
        } else if same(key, b"address") {
            address = value.as_bytes();
        } else if same(key, b"port") {
            port = value.to_int().and_then(|int| u16::try_from(int).ok());
        }
    }
    let family = family.ok_or(errors::DESTINATION_WITHOUT_FAMILY)?;
    let address = address.and_then(ip).ok_or(errors::DESTINATION_UNPARSABLE)?;
    let port = port.ok_or(errors::DESTINATION_UNPARSABLE)?;
    match (family, address) {
        (FamilyValue::Ip4, IpAddr::V4(_)) | (FamilyValue::Ip6, IpAddr::V6(_)) => {
            Ok(SocketAddr::new(address, port))
        }
        _ => Err(errors::DESTINATION_UNPARSABLE),
    }
}
