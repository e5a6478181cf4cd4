//! Who may speak to the control listeners (spec: security 12), as ng has it: a rule of networks.

use windlass_ng::{Network, Rule};

/// Requests from these networks are answered, and from this host.
pub fn allow(networks: &[Network]) -> Rule {
    let networks = networks.iter().chain(&Network::LOOPBACK);
    Rule::Allow(networks.copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_is_always_allowed() {
        let listed = "192.0.2.0/28".parse().unwrap();
        for (rule, sources, expected) in [
            (allow(&[]), ["127.9.9.9", "::1", "::ffff:127.0.0.1"], true),
            (
                allow(&[listed]),
                ["127.0.0.1", "192.0.2.15", "::ffff:192.0.2.1"],
                true,
            ),
            (allow(&[]), ["10.0.0.1", "fe80::1", "0.0.0.0"], false),
            (allow(&[listed]), ["192.0.2.16", "10.0.0.1", "::"], false),
        ] {
            let Rule::Allow(networks) = rule else {
                panic!("{rule:?}");
            };
            for source in sources {
                let source = source.parse().unwrap();
                let permits = networks.iter().any(|network| network.contains(source));
                assert_eq!(permits, expected, "{source}");
            }
        }
    }
}
