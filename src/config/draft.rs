//! Settings as they were said: typed, with their places, not yet checked against each other.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use toml::de::DeTable;
use windlass_toml::{Place, Placed, Reader};

use super::names::LocalName;
use super::setting::Group;
use super::topic::{self, for_each_group};
use super::{Family, LogFormat};
use crate::media::latch::Learning;

/// A configuration before it is checked; what was not said is `None`.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    pub(super) interfaces: Vec<DraftInterface>,
    pub(super) aliases: BTreeMap<String, Placed<String>>,
    pub(super) port_min: Option<Placed<u16>>,
    pub(super) port_max: Option<Placed<u16>>,
    pub(super) ng_udp: Option<Vec<Placed<SocketAddr>>>,
    pub(super) ng_tcp: Option<Vec<Placed<SocketAddr>>>,
    pub(super) learning: Option<Placed<Learning>>,
    pub(super) signalling_hops: Option<Vec<Placed<IpAddr>>>,
    pub(super) tos: Option<Placed<u8>>,
    /// The part of `[media]` that stands on its own.
    pub(super) destinations: topic::Destinations,
    pub(super) timeout_media: Option<Placed<u64>>,
    pub(super) timeout_silent: Option<Placed<u64>>,
    pub(super) timeout_offer: Option<Placed<u64>>,
    pub(super) timeout_final: Option<Placed<u64>>,
    pub(super) delete_delay: Option<Placed<u64>>,
    pub(super) max_sessions: Option<Placed<u32>>,
    pub(super) max_load: Option<f64>,
    pub(super) max_cpu: Option<f64>,
    pub(super) max_bandwidth: Option<u64>,
    pub(super) log_level: Option<Placed<String>>,
    pub(super) log_format: Option<Placed<LogFormat>>,
    pub(super) workers: Option<Placed<u16>>,
    pub(super) edge: Option<DraftEdge>,
    /// The edge, if it is described by zones.
    pub(super) zones: Option<windlass_edge::file::Read>,
    pub(super) templates: BTreeMap<String, String>,
    pub(super) groups: Groups,
    /// Places of the listeners of `groups.control`: `cli`, `http`, `https`.
    pub(super) control_places: [Vec<Place>; 3],
    /// Said in rtpengine's manner: what it takes for good is no mistake.
    pub(super) is_compat: bool,
}

macro_rules! groups {
    ($($field:ident: $group:ident,)*) => {
        /// The settings that stand on their own, by section.
        #[derive(Clone, Debug, Default)]
        pub(super) struct Groups {
            $(pub(super) $field: topic::$group,)*
        }

        impl Groups {
            /// The sections they are in.
            pub(super) const SECTIONS: &'static [&'static str] =
                &[$(<topic::$group as Group>::SECTION),*];

            /// The keys of each.
            #[cfg(test)]
            pub(super) const KEYS: &'static [(&'static str, &'static [&'static str])] = &[$((
                <topic::$group as Group>::SECTION,
                <topic::$group as Group>::KEYS,
            )),*];

            /// Reads every section out of a file.
            pub(super) fn read(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Self {
                Self {
                    $($field: Group::section(reader, root),)*
                }
            }

            /// Takes the value of an rtpengine option; `None` if no group has it.
            pub(super) fn set(&mut self, option: &str, text: &str) -> Option<Result<(), String>> {
                $(
                    if let Some(set) = self.$field.set(option, text) {
                        return Some(set);
                    }
                )*
                None
            }

            /// Each section with the lines that differ from the defaults.
            pub(super) fn lines(&self) -> Vec<(&'static str, Vec<(&'static str, String)>)> {
                vec![$((<topic::$group as Group>::SECTION, self.$field.lines()),)*]
            }
        }
    };
}

for_each_group!(groups);

/// One `[[interface]]`, or one `--interface`.
#[derive(Clone, Debug)]
pub(super) struct DraftInterface {
    pub(super) at: Place,
    pub(super) name: Option<Placed<String>>,
    pub(super) address: Option<Placed<LocalName>>,
    /// An address was written, but it is none: said already, not to be called missing too.
    pub(super) address_is_bad: bool,
    pub(super) advertise: Option<Placed<LocalName>>,
    pub(super) port_min: Option<Placed<u16>>,
    pub(super) port_max: Option<Placed<u16>>,
    pub(super) exclude_ports: Vec<u16>,
}

/// `[edge]`.
#[derive(Clone, Debug)]
pub(super) struct DraftEdge {
    pub(super) at: Place,
    pub(super) listen: Option<Vec<Placed<SocketAddr>>>,
    pub(super) advertise: Option<Placed<String>>,
    pub(super) upstream: Option<Placed<SocketAddr>>,
    /// As [`DraftInterface::address_is_bad`].
    pub(super) upstream_is_bad: bool,
    pub(super) ng: Option<Placed<SocketAddr>>,
    pub(super) direction: Option<Placed<Vec<Placed<String>>>>,
    pub(super) address_family: Option<Placed<Family>>,
    pub(super) calls: Option<Placed<usize>>,
    pub(super) setups_per_source: Option<Placed<usize>>,
    pub(super) bytes_per_source: Option<Placed<usize>>,
}
