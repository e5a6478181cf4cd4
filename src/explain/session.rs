//! Reasons for the lines before the first m= line.

use windlass_ng::request::SdpSection;

use super::compare::name;
use super::exchange::{Exchange, Role};

impl Exchange<'_> {
    /// Reason for a session line that was added or changed.
    pub(super) fn session_reason(&self, was: Option<&str>, now: &str) -> Option<String> {
        if let Some(reason) = self.manipulated(SdpSection::Global, now) {
            return Some(reason);
        }
        let replace = &self.request.replace;
        let reason = match name(now) {
            "o" => return Some(self.origin_reason(was, now)),
            "s" if replace.session_name => "replace=session-name".to_owned(),
            "rtpengine" => "loop-protect: the mark of this relay".to_owned(),
            "ice-lite" => "ICE-lite".to_owned(),
            "group" if self.role == Role::Answer => {
                format!("the bundle that {} offered", self.receiver_name())
            }
            "group" => "BUNDLE".to_owned(),
            _ => return None,
        };
        Some(reason)
    }

    /// Reason for a missing session line.
    pub(super) fn session_drop(&self, line: &str) -> String {
        if let Some(reason) = self.removed(SdpSection::Global, line) {
            return reason;
        }
        match name(line) {
            "c" => "every m= line has its own c=".to_owned(),
            "sendrecv" | "sendonly" | "recvonly" | "inactive" => {
                "every m= line has its own direction".to_owned()
            }
            "group" if line.starts_with("a=group:BUNDLE") => {
                let why = match self.role {
                    Role::Answer => format!("{} was offered none", self.receiver_name()),
                    Role::Offer | Role::Own => "BUNDLE is not passed on".to_owned(),
                };
                format!("{why}: every m= line has ports of its own")
            }
            "ice-lite" | "ice-ufrag" | "ice-pwd" | "ice-options" | "ice-pacing" => {
                "ICE ends at the relay".to_owned()
            }
            "setup" | "fingerprint" | "tls-id" | "identity" => "DTLS ends at the relay".to_owned(),
            "rtpengine" => "the mark of another relay".to_owned(),
            "extmap" | "extmap-allow-mixed" => "stands at every m= line".to_owned(),
            _ => "not carried on".to_owned(),
        }
    }

    fn origin_reason(&self, was: Option<&str>, now: &str) -> String {
        let Some(was) = was else {
            return "made by the relay".to_owned();
        };
        let replace = &self.request.replace;
        let by = |wanted: bool, option: &str| match (wanted, replace.origin_full) {
            (_, true) => "replace=origin-full".to_owned(),
            (true, false) => format!("replace={option}"),
            (false, false) => "as printed before".to_owned(),
        };
        let versions = replace.sdp_version || replace.force_increment_sdp_version;
        let fields = [
            ("username", by(replace.username, "username")),
            ("session id", by(false, "")),
            ("version", by(versions, "SDP-version")),
            ("network", by(replace.origin, "origin")),
            ("family", by(replace.origin, "origin")),
            ("address", by(replace.origin, "origin")),
        ];
        let value = |line: &str| line.strip_prefix("o=").unwrap_or(line).to_owned();
        let (was, now) = (value(was), value(now));
        let pairs = was.split(' ').zip(now.split(' ')).zip(fields);
        let changed = pairs.filter(|((was, now), _)| was != now);
        let said: Vec<String> = changed
            .map(|((was, _), (field, why))| format!("{field} was {was} ({why})"))
            .collect();
        said.join(", ")
    }

    /// The rule of `sdp-attr` that a line comes from.
    pub(super) fn manipulated(&self, section: SdpSection, line: &str) -> Option<String> {
        let text = line.strip_prefix("a=")?;
        let rules = self.request.sdp_attr.section(section)?;
        let bare = |text: &str| text.strip_prefix("a=").unwrap_or(text).to_owned();
        if rules.add.iter().any(|added| bare(added) == text) {
            return Some("sdp-attr add".to_owned());
        }
        let to = rules.substitute.iter().find(|(_, to)| bare(to) == text);
        to.map(|(from, _)| format!("sdp-attr substitute, for {from}"))
    }

    /// The rule of `sdp-attr` that took a line away.
    pub(super) fn removed(&self, section: SdpSection, line: &str) -> Option<String> {
        let text = line.strip_prefix("a=")?;
        let rules = self.request.sdp_attr.section(section)?;
        let first = text.split(' ').next().unwrap_or(text);
        let forms = [name(line), first, text];
        let fits = |rule: &str| forms.iter().any(|form| rule.eq_ignore_ascii_case(form));
        if let Some(rule) = rules.remove.iter().find(|rule| fits(rule)) {
            return Some(format!("sdp-attr remove {rule}"));
        }
        let substituted = rules.substitute.iter().find(|(from, _)| fits(from))?;
        Some(format!("sdp-attr substitute, by {}", substituted.1))
    }
}
