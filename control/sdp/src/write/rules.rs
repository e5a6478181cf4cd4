//! `sdp-attr`: attributes removed, substituted and added on the way out.

use crate::media::MediaKind;
use crate::text::Text;

/// Section of the description that rules apply to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Section {
    /// Before the first `m=`.
    Session,
    /// Every media of this kind.
    Media(MediaKind),
}

impl Section {
    /// The section an ng request calls `name`: `global` or `none` for the session, else a media
    /// type. `None` for anything else.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "global" | "none" => Some(Self::Session),
            _ => match MediaKind::from_name(name) {
                MediaKind::Other => None,
                kind => Some(Self::Media(kind)),
            },
        }
    }
}

/// The rules of all sections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttributeRules {
    sections: Vec<(Section, SectionRules)>,
}

/// The rules of one section. `remove` and the first half of `substitute` name an attribute by
/// `name`, `name:firsttoken` or `name:value`, whatever the case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SectionRules {
    /// Attributes appended to the section; `a=` in front is optional.
    pub add: Vec<Text>,
    /// Attributes left out.
    pub remove: Vec<Text>,
    /// Attributes replaced as a whole: old, new.
    pub substitute: Vec<(Text, Text)>,
}

impl AttributeRules {
    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    /// The rules of `section`, made if there are none yet.
    pub fn section_mut(&mut self, section: Section) -> &mut SectionRules {
        let known = self.sections.iter().position(|(of, _)| *of == section);
        let index = known.unwrap_or(self.sections.len());
        if known.is_none() {
            self.sections.push((section, SectionRules::default()));
        }
        #[expect(clippy::indexing_slicing, reason = "found or pushed just above")]
        &mut self.sections[index].1
    }

    /// The rules of `section`, if there are any.
    pub fn section(&self, section: Section) -> Option<&SectionRules> {
        let (_, rules) = self.sections.iter().find(|(of, _)| *of == section)?;
        Some(rules)
    }
}

/// Result of the rules for one attribute.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict<'a> {
    Keep,
    Remove,
    Replace(&'a Text),
}

impl SectionRules {
    /// Judges `attribute`, given without `a=`.
    pub(super) fn judge(&self, attribute: &[u8]) -> Verdict<'_> {
        if self.remove.is_empty() && self.substitute.is_empty() {
            return Verdict::Keep;
        }
        let colon = attribute.iter().position(|&byte| byte == b':');
        let name = colon.and_then(|colon| attribute.get(..colon));
        let with_token = colon.and_then(|colon| {
            let value = attribute.get(colon..)?;
            let space = value.iter().position(|&byte| byte == b' ')?;
            attribute.get(..colon + space)
        });
        for form in [name, with_token, Some(attribute)].into_iter().flatten() {
            let names = |rule: &Text| bare(rule).eq_ignore_ascii_case(form);
            if self.remove.iter().any(names) {
                return Verdict::Remove;
            }
            if let Some((_, by)) = self.substitute.iter().find(|(rule, _)| names(rule)) {
                return Verdict::Replace(by);
            }
        }
        Verdict::Keep
    }
}

/// A rule's attribute without the `a=` some proxies write in front.
pub(super) fn bare(attribute: &Text) -> &[u8] {
    let bytes = attribute.as_bytes();
    bytes.strip_prefix(b"a=").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_named_by_name_first_token_or_whole() {
        for (rule, attribute, matches) in [
            ("RTPMAP", "rtpmap:8 PCMA/8000", true),
            ("rtpmap:8", "rtpmap:8 PCMA/8000", true),
            ("a=rtpmap:8", "rtpmap:8 PCMA/8000", true),
            ("rtpmap:8 pcma/8000", "rtpmap:8 PCMA/8000", true),
            ("rtpmap:8 PCMA", "rtpmap:8 PCMA/8000", false),
            ("rtpmap:80", "rtpmap:8 PCMA/8000", false),
            ("rtcp", "rtcp-mux", false),
            ("sendrecv", "sendrecv", true),
            ("ptime:20", "ptime:20", true),
        ] {
            let rules = SectionRules {
                remove: vec![rule.into()],
                ..SectionRules::default()
            };
            let expected = if matches {
                Verdict::Remove
            } else {
                Verdict::Keep
            };
            assert_eq!(rules.judge(attribute.as_bytes()), expected, "{rule}");
        }
    }

    #[test]
    fn sections_have_the_names_of_ng() {
        assert_eq!(Section::from_name("global"), Some(Section::Session));
        assert_eq!(Section::from_name("none"), Some(Section::Session));
        assert_eq!(
            Section::from_name("video"),
            Some(Section::Media(MediaKind::Video))
        );
        assert_eq!(Section::from_name("sideways"), None);
    }
}
