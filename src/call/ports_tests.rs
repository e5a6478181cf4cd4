use std::collections::HashSet;
use std::net::Ipv4Addr;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::flow::port::PortHandle;

/// Opens every port but those it was told to refuse.
struct Opener {
    refused: HashSet<u16>,
}

impl OpenPort for Opener {
    fn open(&self, local: SocketAddr) -> io::Result<PortHandle> {
        if self.refused.contains(&local.port()) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        Ok(PortHandle::new(()))
    }
}

fn interfaces(min: u16, max: u16, refused: &[u16]) -> Interfaces {
    let pool = PortPool::new(min, max, &mut StdRng::seed_from_u64(7));
    let address = LocalAddress {
        name: "default".into(),
        address: Ipv4Addr::LOCALHOST.into(),
        advertised: Ipv4Addr::LOCALHOST.into(),
        pool: Arc::new(pool),
    };
    let refused = refused.iter().copied().collect();
    Interfaces::new(vec![address], Arc::new(Opener { refused }))
}

#[test]
fn pairs_are_even_then_odd_and_never_leased_twice() {
    let interfaces = interfaces(30000, 30999, &[]);
    let on = &interfaces.addresses()[0];
    let mut seen = HashSet::new();
    let mut leases = Vec::new();
    while let Ok((rtp, rtcp)) = interfaces.lease_pair(on) {
        assert_eq!(rtp.local().port() % 2, 0);
        assert_eq!(rtcp.local().port(), rtp.local().port() + 1);
        assert!(seen.insert(rtp.local().port()));
        leases.push((rtp, rtcp));
    }
    assert_eq!(leases.len(), 500);
    assert_eq!(on.pool.free(), 0);
    drop(leases);
    assert_eq!(on.pool.free(), 1000);
}

#[test]
fn a_returned_pair_is_leased_last() {
    let interfaces = interfaces(30000, 30009, &[]);
    let on = &interfaces.addresses()[0];
    let first = interfaces.lease_pair(on).unwrap();
    let returned = first.0.local();
    drop(first);
    let mut leases = Vec::new();
    for _ in 0..4 {
        let lease = interfaces.lease_pair(on).unwrap();
        assert_ne!(lease.0.local(), returned);
        leases.push(lease);
    }
    assert_eq!(interfaces.lease_pair(on).unwrap().0.local(), returned);
}

#[test]
fn a_refused_port_is_skipped_and_nothing_leaks() {
    let interfaces = interfaces(30000, 30003, &[30001]);
    let on = &interfaces.addresses()[0];
    let (rtp, rtcp) = interfaces.lease_pair(on).unwrap();
    assert_eq!(rtp.local().port(), 30002);
    assert!(matches!(
        interfaces.lease_pair(on),
        Err(LeaseError::Exhausted { .. })
    ));
    let single = interfaces.lease_one(on).unwrap();
    assert_eq!(single.local().port(), 30000);
    drop((rtp, rtcp, single));
    assert_eq!(on.pool.used(), 0);
    assert_eq!(on.pool.free(), 4);
}

#[test]
fn single_ports_use_up_split_pairs_first() {
    let interfaces = interfaces(30000, 30009, &[]);
    let on = &interfaces.addresses()[0];
    let one = interfaces.lease_one(on).unwrap();
    let two = interfaces.lease_one(on).unwrap();
    assert_eq!(one.local().port() & !1, two.local().port() & !1);
    let mut pairs = Vec::new();
    while let Ok(pair) = interfaces.lease_pair(on) {
        pairs.push(pair);
    }
    assert_eq!(pairs.len(), 4);
    drop((one, two));
    assert!(interfaces.lease_pair(on).is_ok());
}

#[test]
fn random_leasing_never_loses_a_port() {
    let interfaces = interfaces(30001, 30100, &[30010, 30033]);
    let on = &interfaces.addresses()[0];
    let mut rng = StdRng::seed_from_u64(1);
    let mut held: Vec<Vec<PortLease>> = Vec::new();
    for _ in 0..20_000 {
        match rng.random_range(0..5) {
            0 | 1 => held.extend(interfaces.lease_pair(on).ok().map(|(a, b)| vec![a, b])),
            2 => held.extend(interfaces.lease_one(on).ok().map(|a| vec![a])),
            3 if !held.is_empty() => {
                held.swap_remove(rng.random_range(0..held.len()));
            }
            _ => {
                // Half a pair goes back, as after an accepted mux.
                if let Some(pair) = held.iter_mut().find(|p| p.len() == 2) {
                    pair.pop();
                }
            }
        }
        let leased: usize = held.iter().map(Vec::len).sum();
        assert_eq!(on.pool.used(), leased);
    }
    held.clear();
    assert_eq!(on.pool.used(), 0);
    let mut pairs = 0;
    let mut kept = Vec::new();
    while let Ok(pair) = interfaces.lease_pair(on) {
        kept.push(pair);
        pairs += 1;
    }
    // 30001 and 30100 have no mate in the range; two pairs hold a refused port.
    assert_eq!(pairs, 47);
}

#[test]
fn interfaces_are_selected_by_name_and_family() {
    let pool = |seed| {
        Arc::new(PortPool::new(
            30000,
            30009,
            &mut StdRng::seed_from_u64(seed),
        ))
    };
    let entry = |name: &str, address: &str| LocalAddress {
        name: name.into(),
        address: address.parse().unwrap(),
        advertised: address.parse().unwrap(),
        pool: pool(1),
    };
    let interfaces = Interfaces::new(
        vec![
            entry("ext", "203.0.113.1"),
            entry("ext", "2001:db8::1"),
            entry("int", "192.0.2.10"),
        ],
        Arc::new(Opener {
            refused: HashSet::new(),
        }),
    );
    let chosen = |name, family| interfaces.select(name, family).unwrap().address.to_string();
    assert_eq!(chosen(None, None), "203.0.113.1");
    assert_eq!(chosen(None, Some(Family::Ip6)), "2001:db8::1");
    assert_eq!(chosen(Some("int"), Some(Family::Ip6)), "192.0.2.10");
    assert_eq!(chosen(Some("external"), None), "2001:db8::1");
    assert_eq!(chosen(Some("nowhere"), None), "203.0.113.1");
}

#[test]
fn kept_ports_are_never_leased() {
    let mut rng = StdRng::seed_from_u64(3);
    let pool = PortPool::without(4000, 4007, &[4002, 4005].into(), &mut rng);
    assert_eq!((pool.used(), pool.free(), pool.total()), (0, 6, 6));
    let pairs: Vec<u16> = std::iter::from_fn(|| pool.take_pair()).collect();
    let singles: Vec<u16> = std::iter::from_fn(|| pool.take_one()).collect();
    let mut taken: Vec<u16> = pairs
        .iter()
        .flat_map(|base| [*base, base + 1])
        .chain(singles)
        .collect();
    taken.sort_unstable();
    assert_eq!(taken, [4000, 4001, 4003, 4004, 4006, 4007]);
}

#[test]
fn a_half_pair_that_the_system_holds_is_passed_over() {
    // Every second odd port is somebody else's: after the even one is leased, its other half is
    // the first choice for a single port, and refused.
    let refused: Vec<u16> = (30001..30100).step_by(4).collect();
    let interfaces = interfaces(30000, 30099, &refused);
    let on = &interfaces.addresses()[0];
    let mut leases = Vec::new();
    while let Ok(lease) = interfaces.lease_one(on) {
        leases.push(lease);
    }
    assert_eq!(leases.len(), 75);
    drop(leases);
    assert_eq!(on.pool.free(), 100);
    let pairs: Vec<_> = std::iter::from_fn(|| interfaces.lease_pair(on).ok()).collect();
    assert_eq!(pairs.len(), 25);
    drop(pairs);
    assert_eq!(on.pool.free(), 100);
}
