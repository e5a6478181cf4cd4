//! Changes to generated SDP (§8.10).

use super::escape::unescape;
use crate::{errors, names::names, tape::Node};

/// `sdp-attr`: attributes to add, remove and substitute, per section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SdpAttr {
    sections: Vec<(SdpSection, Manipulations)>,
}

/// Changes to the attributes of one section; texts without `a=`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manipulations {
    /// Lines appended.
    pub add: Vec<String>,
    /// Attributes left out: a name, `name:firsttoken`, or the whole `name:value`.
    pub remove: Vec<String>,
    /// Attributes replaced: compared as for `remove`, and the whole replacement.
    pub substitute: Vec<(String, String)>,
}

names! {
    /// A part of the SDP that rules apply to.
    pub enum SdpSection {
        /// The session.
        Global = b"global",
        /// Medias of no known type, and the session where it stands for them.
        None = b"none",
        /// `m=audio`
        Audio = b"audio",
        /// `m=video`
        Video = b"video",
        /// `m=image`
        Image = b"image",
        /// `m=message`
        Message = b"message",
        /// `m=text`
        Text = b"text",
        /// `m=application`
        Application = b"application",
        /// Every other media type.
        Other = b"other",
    }
}

names! {
    enum Manipulation {
        Add = b"add",
        Remove = b"remove",
        Substitute = b"substitute",
    }
}

impl SdpAttr {
    /// The rules of one section, if there are any.
    pub fn section(&self, section: SdpSection) -> Option<&Manipulations> {
        self.sections
            .iter()
            .find(|(s, _)| *s == section)
            .map(|(_, rules)| rules)
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        let is_empty = |rules: &Manipulations| *rules == Manipulations::default();
        self.sections.iter().all(|(_, rules)| is_empty(rules))
    }

    /// Reads the dictionary form. Unlike anything else in a request, mistakes here are errors.
    pub(crate) fn apply(&mut self, node: Node<'_>) -> Result<(), &'static str> {
        if !node.is_dict() {
            return Err(errors::WRONG_TYPE);
        }
        for (section, rules) in node.entries() {
            let section = SdpSection::lookup(section).ok_or(errors::UNSUPPORTED_SECTION)?;
            if !rules.is_dict() {
                return Err(errors::WRONG_CONTENT);
            }
            let target = self.section_mut(section);
            for (manipulation, items) in rules.entries() {
                let manipulation =
                    Manipulation::lookup(manipulation).ok_or(errors::UNKNOWN_MANIPULATION)?;
                target.apply(manipulation, items)?;
            }
        }
        Ok(())
    }

    /// Reads the flag form `add-MEDIA-VALUE`; `false` if it is none.
    pub(crate) fn apply_flag(&mut self, text: &[u8]) -> bool {
        let mut parts = text.splitn(3, |&b| b == b'-' || b == b'_');
        let (Some(manipulation), Some(section), Some(value)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return false;
        };
        let (Some(manipulation), Some(section)) = (
            Manipulation::lookup(manipulation),
            SdpSection::lookup(section),
        ) else {
            return false;
        };
        self.section_mut(section)
            .apply_text(manipulation, value)
            .is_ok()
    }

    fn section_mut(&mut self, section: SdpSection) -> &mut Manipulations {
        let at = match self.sections.iter().position(|(s, _)| *s == section) {
            Some(at) => at,
            None => {
                self.sections.push((section, Manipulations::default()));
                self.sections.len() - 1
            }
        };
        // `at` was found or pushed just now.
        #[expect(
            clippy::indexing_slicing,
            reason = "the position was taken on the line above"
        )]
        &mut self.sections[at].1
    }
}

impl Manipulations {
    fn apply(&mut self, manipulation: Manipulation, items: Node<'_>) -> Result<(), &'static str> {
        if let Some(text) = items.as_bytes() {
            return self.apply_text(manipulation, text);
        }
        if !items.is_list() {
            return Err(errors::WRONG_CONTENT);
        }
        for item in items.members() {
            if let Some(item) = item.as_bytes() {
                self.apply_text(manipulation, item)?;
            } else if manipulation == Manipulation::Substitute && item.is_list() {
                let mut pair = item.members().map(Node::as_bytes);
                let (Some(Some(from)), Some(Some(to))) = (pair.next(), pair.next()) else {
                    return Err(errors::INVALID_TOKEN);
                };
                push(&mut self.substitute, (text(from), text(to)));
            } else {
                return Err(errors::INVALID_TOKEN);
            }
        }
        Ok(())
    }

    fn apply_text(&mut self, what: Manipulation, item: &[u8]) -> Result<(), &'static str> {
        match what {
            Manipulation::Add => push(&mut self.add, text(item)),
            Manipulation::Remove => push(&mut self.remove, text(item)),
            Manipulation::Substitute => {
                let at = item
                    .iter()
                    .position(|&b| b == b'>')
                    .ok_or(errors::INVALID_TOKEN)?;
                let (from, to) = item.split_at_checked(at).ok_or(errors::INVALID_TOKEN)?;
                let to = to.get(1..).unwrap_or_default();
                push(&mut self.substitute, (text(from), text(to)));
            }
        }
        Ok(())
    }
}

/// Reads one attribute text: resolves escapes, strips `a=`, cuts at a line end, so that a value can
/// never add a line to the SDP.
fn text(bytes: &[u8]) -> String {
    let bytes = unescape(bytes);
    let line = bytes
        .split(|&b| matches!(b, b'\r' | b'\n' | 0))
        .next()
        .unwrap_or_default();
    let line = line.strip_prefix(b"a=").unwrap_or(line);
    String::from_utf8_lossy(line).into_owned()
}

fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() < crate::limits::LIST_MEMBERS {
        list.push(item);
    }
}
