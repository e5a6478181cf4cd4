//! `interface` and the sections of `interfaces-config` (spec: media-behaviour §1.1).

use windlass_toml::{Place, Placed, Problem};

use super::ini::{self, Section};
use super::said::{Said, wrong};
use crate::config::codec::integer;
use crate::config::draft::{Draft, DraftInterface};
use crate::config::names::LocalName;

/// Puts all interfaces and aliases into the draft.
pub(super) fn lay(said: &Said, draft: &mut Draft, problems: &mut Vec<Problem>) {
    for value in said.values("interface") {
        if let Err(expected) = one(value, draft) {
            problems.push(wrong("interface", &value.value, value.at, expected));
        }
    }
    if let Some(prefix) = said.last("interfaces-config") {
        let mut found = 0;
        for (name, section) in said.ini.with_prefix(&prefix.value) {
            found += 1;
            of_section(name, section, draft, problems);
        }
        if found == 0 {
            let expected = "the prefix of sections such as [PREFIX-NAME]; the file has none";
            problems.push(wrong(
                "interfaces-config",
                &prefix.value,
                prefix.at,
                expected,
            ));
        }
    }
    if draft.interfaces.is_empty() && problems.is_empty() {
        problems.push(Problem {
            at: Place::Whole,
            message: "no `interface`: give the local address for media, for example \
                      --interface=203.0.113.1"
                .to_owned(),
        });
    }
}

/// `[NAME/]ADDR[!ADVERTISED]` or `ALIAS=NAME`.
fn one(value: &Placed<String>, draft: &mut Draft) -> Result<(), &'static str> {
    const EXPECTED: &str = "[NAME/]ADDR[!ADVERTISED] or ALIAS=NAME";
    let placed = |text: &str| Placed {
        value: text.trim().to_owned(),
        at: value.at,
    };
    let local = |text: &str| match text.trim().parse::<LocalName>() {
        Ok(name) => Ok(Placed {
            value: name,
            at: value.at,
        }),
        Err(_) => Err(EXPECTED),
    };
    let text = value.value.as_str();
    if let Some((alias, name)) = text.split_once('=') {
        if alias.trim().is_empty() || name.trim().is_empty() {
            return Err(EXPECTED);
        }
        draft.aliases.insert(alias.trim().to_owned(), placed(name));
        return Ok(());
    }
    let (name, rest) = match text.split_once('/') {
        Some((name, rest)) => (Some(placed(name)), rest),
        None => (None, text),
    };
    let (address, advertise) = match rest.split_once('!') {
        Some((address, advertise)) => (address, Some(local(advertise)?)),
        None => (rest, None),
    };
    draft.interfaces.push(DraftInterface {
        at: value.at,
        name,
        address: Some(local(address)?),
        address_is_bad: false,
        advertise,
        port_min: None,
        port_max: None,
        exclude_ports: Vec::new(),
    });
    Ok(())
}

/// `[PREFIX-NAME]`: one logical interface, or an alias of one.
fn of_section(name: &str, section: &Section, draft: &mut Draft, problems: &mut Vec<Problem>) {
    let name = match section.get("name") {
        Some(name) => name.clone(),
        None => Placed {
            value: name.to_owned(),
            at: section.at,
        },
    };
    if let Some(alias) = section.get("alias") {
        draft.aliases.insert(name.value, alias.clone());
        return;
    }
    let mut port = |key: &str| {
        let value = section.get(key)?;
        let number = integer(&value.value).and_then(|number| u16::try_from(number).ok());
        let Some(number) = number.filter(|number| *number > 0) else {
            problems.push(wrong(key, &value.value, value.at, "a port, 1 to 65535"));
            return None;
        };
        Some(Placed {
            value: number,
            at: value.at,
        })
    };
    let port_min = port("port-min").map(even);
    let port_max = port("port-max").map(odd);
    let mut exclude_ports = Vec::new();
    if let Some(value) = section.get("exclude-ports") {
        for entry in ini::split(&value.value) {
            match entry.parse() {
                Ok(number) if number > 0 => exclude_ports.push(number),
                _ => problems.push(wrong("exclude-ports", entry, value.at, "ports: 5060; 5061")),
            }
        }
    }
    let advertise = ["advertised", "advertised-address", "advertised address"];
    let advertise = advertise.iter().find_map(|key| section.get(key));
    let advertise = advertise.and_then(|value| local("advertised", value, problems));
    let Some(addresses) = section.get("address") else {
        problems.push(Problem {
            at: section.at,
            message: format!("the interface [{}] has no `address`", section.name),
        });
        return;
    };
    for entry in ini::split(&addresses.value) {
        let entry = Placed {
            value: entry.to_owned(),
            at: addresses.at,
        };
        let address = local("address", &entry, problems);
        // Among several, an address is told to those of its family.
        let is_one = entry.value == addresses.value;
        let advertise = advertise.clone();
        let advertise = advertise.filter(|to| is_one || !differ(to, address.as_ref()));
        draft.interfaces.push(DraftInterface {
            at: section.at,
            name: Some(name.clone()),
            address_is_bad: address.is_none(),
            address,
            advertise,
            port_min,
            port_max,
            exclude_ports: exclude_ports.clone(),
        });
    }
}

/// Both are addresses, and of different families.
fn differ(one: &Placed<LocalName>, other: Option<&Placed<LocalName>>) -> bool {
    match (&one.value, other.map(|other| &other.value)) {
        (LocalName::Address(one), Some(LocalName::Address(other))) => {
            one.is_ipv4() != other.is_ipv4()
        }
        _ => false,
    }
}

/// The lowest port that can carry RTP.
pub(super) fn even(port: Placed<u16>) -> Placed<u16> {
    Placed {
        value: port.value.saturating_add(port.value % 2),
        ..port
    }
}

/// The highest port that can carry RTCP.
pub(super) fn odd(port: Placed<u16>) -> Placed<u16> {
    Placed {
        value: port.value - (1 - port.value % 2),
        ..port
    }
}

fn local(
    key: &str,
    value: &Placed<String>,
    problems: &mut Vec<Problem>,
) -> Option<Placed<LocalName>> {
    let name = value.value.parse();
    if name.is_err() {
        let expected = "an address, a network interface or a host name";
        problems.push(wrong(key, &value.value, value.at, expected));
    }
    Some(Placed {
        value: name.ok()?,
        at: value.at,
    })
}
