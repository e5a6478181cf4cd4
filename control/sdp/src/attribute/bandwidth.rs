//! `b=` lines (RFC 8866 §5.8, RFC 3556, RFC 3890).

use crate::line::{number, split_at_byte};
use crate::text::{Source, Text};

/// The bandwidths of one section, by type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bandwidth {
    /// `AS`: application specific, kbit/s.
    pub application: Option<u64>,
    /// `RR`: RTCP of receivers, bit/s.
    pub rtcp_receivers: Option<u64>,
    /// `RS`: RTCP of senders, bit/s.
    pub rtcp_senders: Option<u64>,
    /// `CT`: conference total, kbit/s.
    pub conference: Option<u64>,
    /// `TIAS`: without transport overhead, bit/s.
    pub transport_independent: Option<u64>,
    /// Values of `b=` lines of all other types.
    pub others: Vec<Text>,
}

impl Bandwidth {
    /// Whether no line would be printed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The typed bandwidths in printing order.
    pub(crate) fn typed(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("AS", self.application),
            ("RR", self.rtcp_receivers),
            ("RS", self.rtcp_senders),
            ("CT", self.conference),
            ("TIAS", self.transport_independent),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }

    /// Takes one more `b=` value; of a type that repeats, the last counts.
    pub(crate) fn read(&mut self, value: &[u8], source: &Source) {
        let typed = split_at_byte(value, b':')
            .and_then(|(name, amount)| Some((name, number(amount.trim_ascii())?)));
        let slot = match typed {
            Some((b"AS", _)) => &mut self.application,
            Some((b"RR", _)) => &mut self.rtcp_receivers,
            Some((b"RS", _)) => &mut self.rtcp_senders,
            Some((b"CT", _)) => &mut self.conference,
            Some((b"TIAS", _)) => &mut self.transport_independent,
            _ => {
                self.others.push(source.text(value));
                return;
            }
        };
        *slot = typed.map(|(_, amount)| amount);
    }
}
