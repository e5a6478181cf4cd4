//! The interfaces of a draft: names become addresses, ranges and aliases are checked.

use std::collections::BTreeMap;
use std::net::IpAddr;

use windlass_toml::{Place, Placed, nearest};

use super::check::{Checker, first_place};
use super::draft::{Draft, DraftInterface};
use super::names::LocalName;
use super::{Interface, PortRange};

/// Every name that `direction` may use: of interfaces, of their bases, and aliases.
pub(super) fn known_names(draft: &Draft) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for entry in &draft.interfaces {
        let name = entry.name.as_ref().map(|name| name.value.as_str());
        let name = name.unwrap_or(Interface::DEFAULT_NAME);
        names.push(name.to_owned());
        names.extend(name.split_once(':').map(|(base, _)| base.to_owned()));
    }
    names.extend(draft.aliases.keys().cloned());
    names
}

impl Checker<'_> {
    pub(super) fn interfaces(&mut self, draft: &Draft, common: PortRange) -> Vec<Interface> {
        if draft.interfaces.is_empty() {
            self.problem(
                Place::Whole,
                "no interface: give the local address for media, in the file as\n    \
                 [[interface]]\n    address = \"203.0.113.1\"\n\
                 or as a flag: --interface 203.0.113.1",
            );
        }
        let mut interfaces: Vec<Interface> = Vec::new();
        for entry in &draft.interfaces {
            let is_address = entry
                .address
                .as_ref()
                .is_some_and(|address| matches!(address.value, LocalName::Address(_)));
            for interface in self.interface(entry, common) {
                let (name, address) = (&interface.name, interface.address);
                let mut others = interfaces.iter();
                if !others.any(|other| other.name == *name && other.address == address) {
                    interfaces.push(interface);
                } else if is_address && !draft.is_compat {
                    let at = entry
                        .address
                        .as_ref()
                        .map_or(entry.at, |address| address.at);
                    self.problem(at, &format!("interface `{name}` has {address} already"));
                }
            }
        }
        interfaces
    }

    /// The addresses of one entry.
    fn interface(&mut self, entry: &DraftInterface, common: PortRange) -> Vec<Interface> {
        let name = match &entry.name {
            None => Interface::DEFAULT_NAME.to_owned(),
            Some(name) => {
                self.check_name(name);
                name.value.clone()
            }
        };
        let said = [entry.port_min, entry.port_max];
        let at = first_place(said);
        let ports = self.ports(at, entry.port_min, entry.port_max, common);
        let advertise = self.resolve(entry.advertise.as_ref(), "advertised");
        let Some(address) = &entry.address else {
            if !entry.address_is_bad {
                self.problem(entry.at, "the interface has no `address`");
            }
            return Vec::new();
        };
        let addresses = self.resolve(Some(address), "used for media");
        let is_one = addresses.len() == 1;
        let interfaces = addresses.into_iter().map(|address| {
            // An address stands for those of its family; the only one is told whatever was said.
            let mut of_family = advertise.iter().copied();
            let of_family = of_family.find(|other| other.is_ipv4() == address.is_ipv4());
            let only = advertise.first().copied().filter(|_| is_one);
            Interface {
                name: name.clone(),
                address,
                advertise: of_family.or(only),
                ports,
                exclude_ports: entry.exclude_ports.clone(),
            }
        });
        interfaces.collect()
    }

    /// Aliases whose names exist.
    pub(super) fn aliases(&mut self, draft: &Draft, known: &[String]) -> BTreeMap<String, String> {
        let mut aliases = BTreeMap::new();
        for (alias, name) in &draft.aliases {
            let targets: Vec<&str> = known.iter().map(String::as_str).collect();
            let is_alias = draft.aliases.contains_key(&name.value);
            if known.iter().filter(|known| *known == alias).count() > 1 {
                let message = format!("\"{alias}\" is both an alias and an interface");
                self.problem(name.at, &message);
            } else if is_alias || !targets.contains(&name.value.as_str()) {
                let hint = nearest(&name.value, &targets)
                    .map_or_else(String::new, |near| format!("; did you mean \"{near}\"?"));
                let message = format!(
                    "the alias \"{alias}\" stands for \"{}\", which is no interface{hint}",
                    name.value
                );
                self.problem(name.at, &message);
            }
            aliases.insert(alias.clone(), name.value.clone());
        }
        aliases
    }

    fn check_name(&mut self, name: &Placed<String>) {
        let text = &name.value;
        if text.is_empty() || text.contains(|c: char| c.is_whitespace() || "/!=,".contains(c)) {
            let message = format!("\"{text}\" cannot be a name: no blanks, `/`, `!`, `=` or `,`");
            self.problem(name.at, &message);
        }
    }

    /// The addresses that a name stands for; none if it is wrong.
    fn resolve(&mut self, name: Option<&Placed<LocalName>>, purpose: &str) -> Vec<IpAddr> {
        let Some(Placed { value, at }) = name else {
            return Vec::new();
        };
        match self.names.addresses(value) {
            Ok(addresses) => {
                for address in &addresses {
                    self.refuse_special(*address, *at, purpose);
                }
                addresses
            }
            Err(error) => {
                self.problem(*at, &error);
                Vec::new()
            }
        }
    }

    /// Addresses that stand for no single host.
    fn refuse_special(&mut self, value: IpAddr, at: Place, purpose: &str) {
        let broadcast = matches!(value, IpAddr::V4(v4) if v4.is_broadcast());
        if value.is_unspecified() {
            let message =
                format!("{value} cannot be {purpose}: peers must be told one address; name it");
            self.problem(at, &message);
        } else if value.is_multicast() || broadcast {
            self.problem(
                at,
                &format!("{value} cannot be {purpose}: it is not one host"),
            );
        }
    }
}
