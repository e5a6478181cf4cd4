//! One received SDP and the one printed for it, line by line with reasons.

use windlass_ng::Request;
use windlass_sdp::{Media, SessionDescription};

use super::compare::{Line, compare, sections};
use crate::call::ports::Interfaces;
use crate::call::{CallPicture, MediaPicture, PartyPicture, PortPicture};

/// Role of an SDP for its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// An offer that another party made.
    Offer,
    /// An answer that another party made.
    Answer,
    /// An SDP made by the relay itself.
    Own,
}

/// A received SDP, the printed SDP, and the call's state around them.
pub(super) struct Exchange<'a> {
    pub(super) request: &'a Request,
    pub(super) role: Role,
    pub(super) said: &'a SessionDescription,
    pub(super) printed: &'a SessionDescription,
    pub(super) before: Option<&'a CallPicture>,
    pub(super) after: Option<&'a CallPicture>,
    pub(super) sender: Option<usize>,
    pub(super) receiver: Option<usize>,
    pub(super) interfaces: &'a Interfaces,
}

/// A line of an SDP with what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// `+` added, `~` changed, `-` not carried on; a blank for what is as it was.
    pub mark: char,
    /// The line as printed, or as received if it is not carried on. It may hold a key.
    pub line: String,
    /// Why it is not as it was.
    pub reason: Option<String>,
}

impl Explained {
    /// `reason` has the received line, if there is one, and the printed one.
    fn of(
        line: Line<'_>,
        reason: impl Fn(Option<&str>, &str) -> Option<String>,
        dropped: impl Fn(&str) -> String,
    ) -> Self {
        let (mark, line, reason) = match line {
            Line::Same(line) => (' ', line, None),
            Line::Changed { was, now } => ('~', now, reason(Some(was), now)),
            Line::Added(now) => ('+', now, reason(None, now)),
            Line::Dropped(line) => ('-', line, Some(dropped(line))),
        };
        Self {
            mark,
            line: line.to_owned(),
            reason: reason.filter(|reason| !reason.is_empty()),
        }
    }
}

/// One m= line of an exchange.
pub(super) struct MediaLine<'a> {
    pub(super) exchange: &'a Exchange<'a>,
    pub(super) said: Option<&'a Media>,
    pub(super) printed: &'a Media,
    /// Its state towards the receiver.
    pub(super) shown: Option<&'a MediaPicture>,
    /// Its state towards the sender.
    pub(super) source: Option<&'a MediaPicture>,
    /// The printed port, if it is one of ours.
    pub(super) port: Option<&'a PortPicture>,
}

impl<'a> Exchange<'a> {
    /// The lines of the printed SDP and those that are not carried on, with a reason for every line
    /// that differs from the received one.
    pub(super) fn lines(&self, said: &str, printed: &str) -> Vec<Explained> {
        let (said, printed) = (sections(said), sections(printed));
        let mut out = Vec::new();
        let nothing = Vec::new();
        let (of_said, of_printed) = (
            said.first().unwrap_or(&nothing),
            printed.first().unwrap_or(&nothing),
        );
        for line in compare(of_said, of_printed) {
            out.push(Explained::of(
                line,
                |was, now| self.session_reason(was, now),
                |line| self.session_drop(line),
            ));
        }
        let pairs = self.pairs();
        for (index, lines) in printed.iter().skip(1).enumerate() {
            let Some(media) = self.printed.media.get(index) else {
                continue;
            };
            let source = pairs.get(index).copied().flatten();
            let of_said = source.and_then(|source| said.get(source + 1));
            let media = self.media(index, media, source);
            for line in compare(of_said.unwrap_or(&nothing), lines) {
                out.push(Explained::of(
                    line,
                    |was, now| media.reason(was, now),
                    |line| media.drop(line),
                ));
            }
        }
        for (index, lines) in said.iter().skip(1).enumerate() {
            if !pairs.contains(&Some(index))
                && let Some(&line) = lines.first()
            {
                out.push(Explained::of(
                    Line::Dropped(line),
                    |_, _| None,
                    |_| self.unpaired(index),
                ));
            }
        }
        out
    }

    fn media(&'a self, index: usize, printed: &'a Media, source: Option<usize>) -> MediaLine<'a> {
        let receiver = self.party(self.receiver);
        let shown = receiver.and_then(|party| party.medias.get(index));
        let line = shown.map(|media| media.line);
        let source_view = self.party(self.sender).and_then(|party| {
            let mut medias = party.medias.iter();
            medias.find(|media| Some(media.line) == line)
        });
        let mut ports = receiver.into_iter().flat_map(|party| {
            let medias = party.medias.iter();
            medias.flat_map(|media| &media.ports)
        });
        MediaLine {
            exchange: self,
            said: source.and_then(|source| self.said.media.get(source)),
            printed,
            shown,
            source: source_view,
            port: ports.find(|port| port.local.port() == printed.port && port.is_selected),
        }
    }

    /// The received media that every printed one comes from.
    fn pairs(&self) -> Vec<Option<usize>> {
        let (said, printed) = (&self.said.media, &self.printed.media);
        if said.len() == printed.len() {
            return (0..said.len()).map(Some).collect();
        }
        // Lines were hidden, or come twice: the next one of the same kind.
        let mut next = 0;
        let mut pairs = Vec::with_capacity(printed.len());
        for media in printed {
            let found = said
                .iter()
                .skip(next)
                .position(|other| other.kind == media.kind);
            pairs.push(found.map(|found| found + next));
            next = found.map_or(next, |found| found + next + 1);
        }
        pairs
    }

    fn unpaired(&self, index: usize) -> String {
        let removed = &self.request.sdp_media_remove;
        let kind = self
            .said
            .media
            .get(index)
            .map(|media| media.kind_text.as_str_lossy());
        match kind {
            Some(kind) if removed.iter().any(|name| name.eq_ignore_ascii_case(&kind)) => {
                format!("sdp-media-remove={kind}")
            }
            _ => "the other line of a pair that offers one media as RTP and as SRTP".to_owned(),
        }
    }

    pub(super) fn party(&self, index: Option<usize>) -> Option<&'a PartyPicture> {
        self.after?.parties.get(index?)
    }

    pub(super) fn sender_name(&self) -> String {
        self.name_of(self.sender)
    }

    pub(super) fn receiver_name(&self) -> String {
        self.name_of(self.receiver)
    }

    fn name_of(&self, party: Option<usize>) -> String {
        match (self.after, party) {
            (Some(after), Some(party)) => after.name(party),
            _ => "the other party".to_owned(),
        }
    }
}
