//! Which line of a bundle a packet belongs to (RFC 9143 §9.2).

use super::bundle::Bundle;
use crate::limits::BUNDLE_SOURCES;
use crate::media::extension;

/// The lines of a port, and what MID said of sources.
#[derive(Debug)]
pub struct Lines {
    bundle: Box<Bundle>,
    /// The latest last.
    sources: Vec<Source>,
}

/// A source that a MID has named the line of.
#[derive(Debug)]
struct Source {
    ssrc: u32,
    mid: Box<[u8]>,
    /// `None`: no line has the name.
    line: Option<u8>,
}

impl Lines {
    /// Those of a bundle; nothing is known of sources yet.
    pub fn new(bundle: Box<Bundle>) -> Self {
        Self {
            bundle,
            sources: Vec::new(),
        }
    }

    /// Takes a new description. What MID said of sources counts on.
    pub fn change(&mut self, bundle: Box<Bundle>) {
        for source in &mut self.sources {
            source.line = bundle.named(&source.mid);
        }
        self.bundle = bundle;
    }

    /// The line of an RTP packet; `None` if its source belongs to a line that is not agreed on: a
    /// party may send on a line that it has accepted before its answer is here, and that is no media
    /// of the others.
    pub fn line_of(&mut self, packet: &[u8], ssrc: u32, payload_type: u8) -> Option<u8> {
        let mid = self
            .bundle
            .mid
            .and_then(|id| extension::element(packet, id));
        if let Some(mid) = mid.filter(|mid| !mid.is_empty()) {
            return self.remember(ssrc, mid);
        }
        if let Some(known) = self.sources.iter().find(|known| known.ssrc == ssrc) {
            return known.line;
        }
        let of_type = self.bundle.of_type(payload_type);
        Some(of_type.unwrap_or(self.bundle.own))
    }

    /// Notes the name of a source's line, and finds the line.
    fn remember(&mut self, ssrc: u32, mid: &[u8]) -> Option<u8> {
        let known = self.sources.iter_mut().find(|known| known.ssrc == ssrc);
        if let Some(known) = known {
            if *known.mid != *mid {
                known.line = self.bundle.named(mid);
                known.mid = mid.into();
            }
            return known.line;
        }
        if self.sources.len() >= BUNDLE_SOURCES {
            self.sources.remove(0);
        }
        let line = self.bundle.named(mid);
        self.sources.push(Source {
            ssrc,
            mid: mid.into(),
            line,
        });
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::PayloadTypes;
    use crate::flow::bundle::BundledLine;

    fn bundle(lines: &[(&str, &[u8])]) -> Box<Bundle> {
        let lines = lines.iter().map(|(mid, types)| {
            let mut set = PayloadTypes::default();
            types.iter().for_each(|number| set.insert(*number));
            BundledLine {
                mid: mid.as_bytes().into(),
                types: set,
            }
        });
        Box::new(Bundle {
            mid: Some(4),
            lines: lines.collect(),
            own: 0,
        })
    }

    fn packet(mid: Option<&str>) -> Vec<u8> {
        let mut packet = vec![0x80, 100, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7];
        if let Some(mid) = mid {
            packet[0] |= 0x10;
            let length = u8::try_from(mid.len()).unwrap();
            packet.extend_from_slice(&[0xbe, 0xde, 0, 1, 0x40 | (length - 1)]);
            packet.extend_from_slice(mid.as_bytes());
            packet.resize(12 + 8, 0);
        }
        packet.extend_from_slice(b"media");
        packet
    }

    #[test]
    fn mid_decides_then_what_it_said_then_the_type_then_the_port() {
        // Type 100 is in both lines.
        let mut lines = Lines::new(bundle(&[("a", &[0]), ("v", &[105])]));
        assert_eq!(lines.line_of(&packet(None), 7, 100), Some(0));
        assert_eq!(lines.line_of(&packet(None), 7, 105), Some(1));
        assert_eq!(lines.line_of(&packet(Some("v")), 7, 100), Some(1));
        assert_eq!(lines.line_of(&packet(None), 7, 100), Some(1));
        // Also where the type says otherwise.
        assert_eq!(lines.line_of(&packet(None), 7, 0), Some(1));
        assert_eq!(lines.line_of(&packet(None), 8, 100), Some(0));
        // Another name moves the source.
        assert_eq!(lines.line_of(&packet(Some("a")), 7, 105), Some(0));
        assert_eq!(lines.line_of(&packet(None), 7, 105), Some(0));
    }

    /// RFC 9143 §9.2: such a source is associated with no other m= section.
    #[test]
    fn a_name_that_no_line_has_yet_is_media_of_none() {
        let mut lines = Lines::new(bundle(&[("a", &[0, 8])]));
        assert_eq!(lines.line_of(&packet(Some("a")), 7, 8), Some(0));
        assert_eq!(lines.line_of(&packet(Some("b")), 9, 8), None);
        // Browsers leave MID out once a report speaks of the source.
        assert_eq!(lines.line_of(&packet(None), 9, 8), None);
        assert_eq!(lines.line_of(&packet(None), 7, 8), Some(0));
        lines.change(bundle(&[("a", &[0, 8]), ("b", &[0, 8])]));
        assert_eq!(lines.line_of(&packet(None), 9, 8), Some(1));
        assert_eq!(lines.line_of(&packet(None), 7, 8), Some(0));
        lines.change(bundle(&[("a", &[0, 8])]));
        assert_eq!(lines.line_of(&packet(None), 9, 8), None);
    }

    #[test]
    fn sources_are_known_wherever_their_lines_move() {
        let mut lines = Lines::new(bundle(&[("a", &[0]), ("v", &[105])]));
        lines.line_of(&packet(Some("v")), 7, 100);
        lines.change(bundle(&[("a", &[0, 8]), ("v", &[])]));
        assert_eq!(lines.line_of(&packet(None), 7, 100), Some(1));
        lines.change(bundle(&[("v", &[]), ("a", &[0])]));
        assert_eq!(lines.line_of(&packet(None), 7, 100), Some(0));
    }

    #[test]
    fn sources_are_bounded() {
        let mut lines = Lines::new(bundle(&[("a", &[]), ("v", &[])]));
        let count = u32::try_from(BUNDLE_SOURCES).unwrap();
        for ssrc in 0..=count {
            lines.line_of(&packet(Some("v")), ssrc, 100);
        }
        assert_eq!(lines.sources.len(), BUNDLE_SOURCES);
        assert_eq!(
            lines.line_of(&packet(None), 0, 100),
            Some(0),
            "the oldest is forgotten"
        );
        assert_eq!(lines.line_of(&packet(None), count, 100), Some(1));
    }
}
