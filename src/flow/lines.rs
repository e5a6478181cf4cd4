//! Which line of a bundle a packet belongs to (RFC 9143 §9.2).

use super::bundle::Bundle;
use crate::limits::BUNDLE_SOURCES;
use crate::media::extension;

/// The lines of a port, and what MID said of sources.
#[derive(Debug)]
pub struct Lines {
    bundle: Box<Bundle>,
    /// SSRC and line, the latest last.
    sources: Vec<(u32, u8)>,
}

impl Lines {
    /// Those of a bundle; nothing is known of sources yet.
    pub fn new(bundle: Box<Bundle>) -> Self {
        Self {
            bundle,
            sources: Vec::new(),
        }
    }

    /// Takes a new description. What is known of sources stays as long as the lines do.
    pub fn change(&mut self, bundle: Box<Bundle>) {
        let names = |bundle: &Bundle| -> Vec<Box<[u8]>> {
            bundle.lines.iter().map(|line| line.mid.clone()).collect()
        };
        if names(&bundle) != names(&self.bundle) {
            self.sources.clear();
        }
        self.bundle = bundle;
    }

    /// The line of an RTP packet.
    pub fn line_of(&mut self, packet: &[u8], ssrc: u32, payload_type: u8) -> u8 {
        let mid = self
            .bundle
            .mid
            .and_then(|id| extension::element(packet, id));
        if let Some(line) = mid.and_then(|mid| self.bundle.named(mid)) {
            self.remember(ssrc, line);
            return line;
        }
        let known = self.sources.iter().find(|(known, _)| *known == ssrc);
        known
            .map(|(_, line)| *line)
            .or_else(|| self.bundle.of_type(payload_type))
            .unwrap_or(self.bundle.own)
    }

    fn remember(&mut self, ssrc: u32, line: u8) {
        if let Some(known) = self.sources.iter_mut().find(|(known, _)| *known == ssrc) {
            known.1 = line;
            return;
        }
        if self.sources.len() >= BUNDLE_SOURCES {
            self.sources.remove(0);
        }
        self.sources.push((ssrc, line));
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
        assert_eq!(lines.line_of(&packet(None), 7, 100), 0);
        assert_eq!(lines.line_of(&packet(None), 7, 105), 1);
        assert_eq!(lines.line_of(&packet(Some("v")), 7, 100), 1);
        assert_eq!(lines.line_of(&packet(None), 7, 100), 1);
        // Also where the type says otherwise.
        assert_eq!(lines.line_of(&packet(None), 7, 0), 1);
        assert_eq!(lines.line_of(&packet(None), 8, 100), 0);
        // A name that nobody has says nothing; another one moves the source.
        assert_eq!(lines.line_of(&packet(Some("x")), 7, 100), 1);
        assert_eq!(lines.line_of(&packet(Some("a")), 7, 105), 0);
        assert_eq!(lines.line_of(&packet(None), 7, 105), 0);
    }

    #[test]
    fn sources_are_known_while_the_lines_stay() {
        let mut lines = Lines::new(bundle(&[("a", &[0]), ("v", &[105])]));
        lines.line_of(&packet(Some("v")), 7, 100);
        lines.change(bundle(&[("a", &[0, 8]), ("v", &[])]));
        assert_eq!(lines.line_of(&packet(None), 7, 100), 1);
        lines.change(bundle(&[("v", &[]), ("a", &[0])]));
        assert_eq!(lines.line_of(&packet(None), 7, 100), 0);
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
            0,
            "the oldest is forgotten"
        );
        assert_eq!(lines.line_of(&packet(None), count, 100), 1);
    }
}
