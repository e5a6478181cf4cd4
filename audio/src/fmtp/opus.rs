//! Parameters of Opus (RFC 7587 §6.1).

use std::fmt::Write as _;

use super::parameters;

/// What an `a=fmtp` of Opus says; `None` where it is silent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// The party would like to receive stereo.
    pub stereo: Option<bool>,
    /// The party is likely to send stereo.
    pub sprop_stereo: Option<bool>,
    /// The party can use redundancy for lost packets.
    pub useinbandfec: Option<bool>,
    /// The party would like silence not to be sent.
    pub usedtx: Option<bool>,
    /// The party would like a constant bit rate.
    pub cbr: Option<bool>,
    /// Highest useful clock of audio in Hz; 0 if not said.
    pub maxplaybackrate: u32,
    /// Highest mean bit rate in bit/s; 0 if not said.
    pub maxaveragebitrate: u32,
    /// Highest clock that the party sends, in Hz; 0 if not said.
    pub sprop_maxcapturerate: u32,
    /// Shortest packet in ms; 0 if not said.
    pub minptime: u32,
    /// The rest, as it was written.
    pub other: Vec<String>,
}

impl Parameters {
    /// Reads an `a=fmtp`.
    pub fn parse(fmtp: &str) -> Self {
        let mut read = Self::default();
        for (name, value) in parameters(fmtp) {
            let switch = match value {
                "0" => Some(false),
                "1" => Some(true),
                _ => None,
            };
            let number = value.parse().unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "stereo" => read.stereo = switch,
                "sprop-stereo" => read.sprop_stereo = switch,
                "useinbandfec" => read.useinbandfec = switch,
                "usedtx" => read.usedtx = switch,
                "cbr" => read.cbr = switch,
                "maxplaybackrate" => read.maxplaybackrate = number,
                "maxaveragebitrate" => read.maxaveragebitrate = number,
                "sprop-maxcapturerate" => read.sprop_maxcapturerate = number,
                "minptime" => read.minptime = number,
                _ if value.is_empty() => read.other.push(name.to_owned()),
                _ => read.other.push(format!("{name}={value}")),
            }
        }
        read
    }

    /// What is known, in a fixed order, then the rest.
    pub fn print(&self) -> String {
        let mut text = String::new();
        let mut add = |name: &str, value: u32| {
            let separator = if text.is_empty() { "" } else { "; " };
            // A string takes whatever is written.
            let _ = write!(text, "{separator}{name}={value}");
        };
        let switches = [
            ("stereo", self.stereo),
            ("sprop-stereo", self.sprop_stereo),
            ("useinbandfec", self.useinbandfec),
            ("usedtx", self.usedtx),
            ("cbr", self.cbr),
        ];
        for (name, switch) in switches {
            if let Some(is_on) = switch {
                add(name, u32::from(is_on));
            }
        }
        let numbers = [
            ("maxplaybackrate", self.maxplaybackrate),
            ("maxaveragebitrate", self.maxaveragebitrate),
            ("sprop-maxcapturerate", self.sprop_maxcapturerate),
            ("minptime", self.minptime),
        ];
        for (name, number) in numbers {
            if number != 0 {
                add(name, number);
            }
        }
        for other in &self.other {
            if !text.is_empty() {
                text.push_str("; ");
            }
            text.push_str(other);
        }
        text
    }

    /// What we say of ourselves to a party that offered these parameters, when its Opus is
    /// converted to another codec of `partner_channels` channels.
    #[must_use]
    pub fn answer(&self, partner_channels: u8) -> Self {
        let is_stereo = self.sprop_stereo.unwrap_or(partner_channels == 2);
        Self {
            stereo: Some(is_stereo),
            sprop_stereo: self.stereo.filter(|is_on| *is_on),
            useinbandfec: Some(true),
            ..Self::default()
        }
    }
}
