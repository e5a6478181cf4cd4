//! From bytes to the model: the rules for lines and sections. Attributes are read in
//! `parser/attributes.rs`.

mod attributes;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::attribute::address_of;
use crate::error::{Cap, ParseError, Reason};
use crate::line::{Line, first_token, lines, number, split_at_byte, tokens};
use crate::media::{Media, MediaKind, Transport};
use crate::session::{Origin, ParseOptions, SessionDescription};
use crate::text::{Source, Text};

use attributes::{MediaReader, PartReader};

/// Reads one description. The sections under construction know what is not in the model: which
/// lines were seen, and session values the media may fall back to.
pub(crate) struct Parser {
    source: Source,
    options: ParseOptions,
    parts: Vec<PartReader>,
    media: Vec<MediaReader>,
    /// Whether the current part has an `m=` already.
    in_media: bool,
    /// One byte stood behind the last complete line.
    has_stray_byte: bool,
}

impl Parser {
    pub(crate) fn new(input: &Arc<[u8]>, options: ParseOptions) -> Result<Self, ParseError> {
        if input.len() > options.limits.bytes {
            return Err(over(Cap::Bytes, 0, &options));
        }
        Ok(Self {
            source: Source::new(Arc::clone(input)),
            options,
            parts: Vec::with_capacity(1),
            media: Vec::new(),
            in_media: false,
            has_stray_byte: false,
        })
    }

    pub(crate) fn parse(mut self) -> Result<SessionDescription, ParseError> {
        let source = self.source.clone();
        // Proxies that count a terminating NUL, or cut a line, leave one byte behind.
        let stray = stray_byte(source.as_bytes()).filter(|_| !self.options.reject_invalid);
        self.has_stray_byte = stray.is_some();
        let complete = source.as_bytes().len() - usize::from(self.has_stray_byte);
        let complete = source.as_bytes().get(..complete).unwrap_or_default();
        for (number, text) in lines(complete) {
            if text.is_empty() {
                let cuts_media = || lines(complete).skip(number).any(is_media);
                if self.options.reject_invalid || cuts_media() {
                    return Err(ParseError::new(number, Reason::EmptyLine));
                }
                break;
            }
            if let Some(&byte) = [0, b'\r'].iter().find(|byte| text.contains(byte)) {
                return Err(ParseError::new(number, Reason::ForbiddenByte(byte)));
            }
            let &[letter, b'=', ref value @ ..] = text else {
                return Err(ParseError::new(number, Reason::NoEquals));
            };
            let line = Line {
                number,
                letter,
                value,
            };
            self.read(line, text)
                .map_err(|reason| ParseError::new(number, reason))?;
        }
        if self.parts.is_empty() && !self.options.fragment {
            return Err(ParseError::new(1, Reason::Empty));
        }
        Ok(self.finish())
    }

    fn finish(mut self) -> SessionDescription {
        if self.parts.is_empty() {
            self.parts.push(PartReader::default());
        }
        let mut media = Vec::with_capacity(self.media.len());
        for reader in self.media {
            if let Some(part) = self.parts.get(reader.media.part) {
                media.push(reader.finish(&part.fallback));
            }
        }
        SessionDescription {
            parts: self.parts.into_iter().map(|reader| reader.part).collect(),
            media,
            has_stray_byte: self.has_stray_byte,
        }
    }

    fn read(&mut self, line: Line<'_>, text: &[u8]) -> Result<(), Reason> {
        if line.letter == b'v' {
            return self.read_version(line);
        }
        if self.parts.is_empty() {
            if !self.options.fragment {
                return Err(Reason::Version);
            }
            self.parts.push(PartReader::default());
        }
        let known = b"mcabosituepkrz".contains(&line.letter);
        if !known {
            return Err(Reason::UnknownLine(char::from(line.letter)));
        }
        if line.letter == b'm' {
            return self.read_media(line);
        }
        let source = &self.source;
        let options = &self.options;
        match (self.media.last_mut(), self.parts.last_mut()) {
            (Some(media), _) if self.in_media => read_in_media(media, line, text, source, options),
            (_, Some(part)) => read_in_part(part, line, text, source, options),
            (_, None) => Err(Reason::Version),
        }
    }

    fn read_version(&mut self, line: Line<'_>) -> Result<(), Reason> {
        if line.value != b"0" {
            return Err(Reason::Version);
        }
        if self.parts.len() >= self.options.limits.parts {
            return Err(over_limit(Cap::Parts, &self.options));
        }
        self.parts.push(PartReader::default());
        self.in_media = false;
        Ok(())
    }

    fn read_media(&mut self, line: Line<'_>) -> Result<(), Reason> {
        if self.media.len() >= self.options.limits.media {
            return Err(over_limit(Cap::Media, &self.options));
        }
        let (kind, rest) = first_token(line.value);
        let (ports, rest) = first_token(rest);
        let (transport, formats) = first_token(rest);
        if kind.is_empty() || transport.is_empty() {
            return Err(Reason::Media);
        }
        let (port, port_count) = match split_at_byte(ports, b'/') {
            Some((port, count)) => (port, number(count).ok_or(Reason::Port)?),
            None => (ports, 1),
        };
        if !(1..=10).contains(&port_count) {
            return Err(Reason::Port);
        }
        let known = Transport::known(transport);
        let mut media = Media::empty(
            MediaKind::from_name(kind),
            known.unwrap_or_else(|| Transport::Other(self.source.text(transport))),
        );
        media.part = self.parts.len().saturating_sub(1);
        media.line = line.number;
        media.kind_text = self.source.text(kind);
        media.port = number(port).ok_or(Reason::Port)?;
        media.port_count = port_count;
        media.formats = self.source.text(formats);
        let mut reader = MediaReader::new(media);
        if reader.media.transport.is_rtp() {
            let mut count = 0;
            for format in tokens(formats) {
                count += 1;
                if count > self.options.limits.formats {
                    return Err(over_limit(Cap::Formats, &self.options));
                }
                match number(format).filter(|&payload_type| payload_type < 128) {
                    Some(payload_type) => reader.add_payload_type(payload_type),
                    // A switched off media may list anything.
                    None if reader.media.port == 0 => {}
                    None => return Err(Reason::PayloadType),
                }
            }
            if count == 0 && reader.media.port != 0 {
                return Err(Reason::PayloadType);
            }
        }
        self.media.push(reader);
        self.in_media = true;
        Ok(())
    }
}

/// The byte that stands alone behind the last complete line, if one does.
fn stray_byte(input: &[u8]) -> Option<u8> {
    match input {
        [.., b'\n', byte] if *byte != b'\n' => Some(*byte),
        _ => None,
    }
}

/// Whether a numbered line begins a media.
fn is_media((_, text): (usize, &[u8])) -> bool {
    text.starts_with(b"m=")
}

fn read_in_part(
    reader: &mut PartReader,
    line: Line<'_>,
    text: &[u8],
    source: &Source,
    options: &ParseOptions,
) -> Result<(), Reason> {
    let part = &mut reader.part;
    let value = || source.text(line.value);
    match line.letter {
        b'o' => set_once(&mut part.origin, origin(line.value, source)?, 'o')?,
        b'c' => set_once(&mut part.connection, connection(line.value)?, 'c')?,
        b's' => part.name = Some(value()),
        b'i' => part.info = Some(value()),
        b'u' => part.uri = Some(value()),
        b'e' => part.emails.push(value()),
        b'p' => part.phones.push(value()),
        b'b' => part.bandwidth.read(line.value, source),
        b't' if part.timing.is_none() => part.timing = Some(value()),
        b'a' => {
            if part.attributes.len() >= options.limits.attributes {
                return Err(over_limit(Cap::Attributes, options));
            }
            reader.read_attribute(line.value, source);
        }
        _ => part.retained.push(source.text(text)),
    }
    Ok(())
}

fn read_in_media(
    reader: &mut MediaReader,
    line: Line<'_>,
    text: &[u8],
    source: &Source,
    options: &ParseOptions,
) -> Result<(), Reason> {
    let media = &mut reader.media;
    match line.letter {
        b'c' => set_once(&mut media.connection, connection(line.value)?, 'c')?,
        b'i' => media.info = Some(source.text(line.value)),
        b'b' => media.bandwidth.read(line.value, source),
        b'a' => {
            if media.attributes.len() >= options.limits.attributes {
                return Err(over_limit(Cap::Attributes, options));
            }
            reader.read_attribute(line.value, source);
            if reader.media.ice.candidates.len() > options.limits.candidates {
                return Err(over_limit(Cap::Candidates, options));
            }
        }
        b'k' | b'r' | b'z' => media.retained.push(source.text(text)),
        letter => return Err(Reason::AfterMedia(char::from(letter))),
    }
    Ok(())
}

fn origin(value: &[u8], source: &Source) -> Result<Origin, Reason> {
    let mut tokens = tokens(value).map(|token| source.text(token));
    let mut next = || -> Result<Text, Reason> { tokens.next().ok_or(Reason::Origin) };
    Ok(Origin {
        username: next()?,
        session_id: next()?,
        version: next()?,
        network: next()?,
        family: next()?,
        address: next()?,
    })
}

fn connection(value: &[u8]) -> Result<std::net::IpAddr, Reason> {
    let mut tokens = tokens(value);
    let mut next = || tokens.next().unwrap_or_default();
    address_of(next(), next(), next()).ok_or(Reason::Connection)
}

fn set_once<T>(slot: &mut Option<T>, value: T, letter: char) -> Result<(), Reason> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Reason::Duplicate(letter)),
    }
}

fn over_limit(cap: Cap, options: &ParseOptions) -> Reason {
    Reason::OverLimit {
        cap,
        limit: options.limits.of(cap),
    }
}

fn over(cap: Cap, line: usize, options: &ParseOptions) -> ParseError {
    ParseError::new(line, over_limit(cap, options))
}
