//! Nodes, an address, links and clients on virtual time: seeded, so that a run that fails can be
//! run again.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

/// Rules left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutant {
    /// Rule 1: epochs are compared by their count alone.
    CountOnly,
    /// Rule 1: owning anew does not raise the count.
    SameCount,
    /// Rule 2: who releases says nothing.
    SilentRelease,
    /// Rule 2: silence is waited out for ever.
    NoSilence,
    /// Rule 3: the higher version counts, whatever the epoch.
    Merge,
    /// Rule 4: a state that is met brings a call back.
    EndYields,
    /// Rule 5: signalling takes over anywhere.
    Anywhere,
}

const ALL: [Mutant; 7] = [
    Mutant::CountOnly,
    Mutant::SameCount,
    Mutant::SilentRelease,
    Mutant::NoSilence,
    Mutant::Merge,
    Mutant::EndYields,
    Mutant::Anywhere,
];

/// Seeds of a run; SEEDS=300000 is the long form.
const SEEDS: u64 = 4_000;
const CALLS: u64 = 3;
/// Longer than a run, so that ends are remembered through it.
const MEDIA_TIMEOUT: Duration = Duration::from_secs(600);

/// In flight: when it arrives, from, call, word (`None`: a sign of life).
type Flying = (Duration, usize, u64, Option<Word<u64>>);

struct World {
    rng: StdRng,
    now: Duration,
    /// `None`: dead.
    nodes: Vec<Option<Node<u64>>>,
    saved: Vec<Saved<u64>>,
    has_address: Vec<bool>,
    is_linked: bool,
    /// What goes to each node, in order.
    flying: Vec<VecDeque<Flying>>,
    mutant: Option<Mutant>,
    /// Calls whose end was acknowledged.
    deleted: BTreeSet<u64>,
    contents: BTreeMap<(u64, Epoch, u64), u64>,
    next_state: u64,
}

fn name(node: usize) -> NodeName {
    format!("node{node}")
}

impl World {
    fn new(seed: u64, mutant: Option<Mutant>) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let count = rng.random_range(2..=3);
        let mut world = Self {
            rng,
            now: Duration::from_secs(100),
            nodes: (0..count).map(|_| None).collect(),
            saved: vec![Saved::default(); count],
            has_address: (0..count).map(|node| node == 0).collect(),
            is_linked: true,
            flying: vec![VecDeque::new(); count],
            mutant,
            deleted: BTreeSet::new(),
            contents: BTreeMap::new(),
            next_state: 0,
        };
        (0..count).for_each(|node| world.start(node));
        world
    }

    fn start(&mut self, node: usize) {
        let saved = self.saved[node].clone();
        let has = self.has_address[node];
        let mut started = Node::new(name(node), saved, has, MEDIA_TIMEOUT, self.now);
        started.mutant = self.mutant;
        self.nodes[node] = Some(started);
        if self.is_linked {
            self.connect(node);
        }
    }

    /// A connection to all others: what flew before is lost, and both sides tell all.
    fn connect(&mut self, node: usize) {
        let now = self.now;
        for other in 0..self.nodes.len() {
            if other == node || self.nodes[other].is_none() {
                continue;
            }
            self.flying[node].retain(|flying| flying.1 != other);
            self.flying[other].retain(|flying| flying.1 != node);
            for (one, another) in [(node, other), (other, node)] {
                if let Some(of) = &mut self.nodes[one] {
                    of.connected(&name(another), now);
                }
                self.send(one);
            }
        }
    }

    fn kill(&mut self, node: usize) {
        self.nodes[node] = None;
        self.flying[node].clear();
        for flying in &mut self.flying {
            flying.retain(|flying| flying.1 != node);
        }
    }

    /// What a node has to say goes on its way, in order; what it has is saved before.
    fn send(&mut self, node: usize) {
        let now = self.now;
        let Some(of) = &mut self.nodes[node] else {
            return;
        };
        self.saved[node] = of.save(now);
        let mut words = Vec::new();
        while let Some(word) = of.poll_word() {
            words.push(word);
        }
        for (to, call, word) in words {
            for other in 0..self.nodes.len() {
                let is_meant = match &to {
                    To::All => other != node,
                    To::Node(to) => *to == name(other),
                };
                if is_meant && self.is_linked && self.nodes[other].is_some() {
                    self.fly(node, other, call, Some(word.clone()));
                }
            }
        }
    }

    fn fly(&mut self, from: usize, to: usize, call: u64, word: Option<Word<u64>>) {
        let before = self.flying[to].iter().rev().find(|flying| flying.1 == from);
        let earliest = before.map_or(self.now, |flying| flying.0);
        let delay = Duration::from_millis(self.rng.random_range(0..200));
        let arrives = earliest.max(self.now + delay);
        self.flying[to].push_back((arrives, from, call, word));
    }

    fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = end.min(self.now + Duration::from_millis(100));
            for node in 0..self.nodes.len() {
                self.deliver(node);
                let now = self.now;
                let due = self.nodes[node]
                    .as_mut()
                    .filter(|of| of.poll_timeout().is_some_and(|at| at <= now));
                if let Some(of) = due {
                    of.handle_timeout(now);
                }
                self.send(node);
                let is_second = self.now.as_millis() % 1000 < 100;
                for other in 0..self.nodes.len() {
                    let both = self.nodes[node].is_some() && self.nodes[other].is_some();
                    if is_second && other != node && both && self.is_linked {
                        self.fly(node, other, 0, None);
                    }
                }
                self.check();
            }
        }
    }

    fn deliver(&mut self, node: usize) {
        let now = self.now;
        loop {
            let due = self.flying[node].iter().position(|flying| flying.0 <= now);
            let Some((_, from, call, word)) = due.and_then(|at| self.flying[node].remove(at))
            else {
                return;
            };
            if let Some(of) = &mut self.nodes[node] {
                match word {
                    Some(word) => of.handle_word(&name(from), call, word, now),
                    None => of.heard(&name(from), now),
                }
            }
            self.send(node);
            self.check();
        }
    }

    fn set_address(&mut self, node: usize, has: bool) {
        self.has_address[node] = has;
        let now = self.now;
        if let Some(of) = &mut self.nodes[node] {
            of.set_address(has, now);
        }
        self.send(node);
    }

    fn act(&mut self) {
        let node = self.rng.random_range(0..self.nodes.len());
        let now = self.now;
        match self.rng.random_range(0..12) {
            0 => {
                self.is_linked = !self.is_linked;
                self.flying.iter_mut().for_each(VecDeque::clear);
                if self.is_linked {
                    (0..self.nodes.len()).for_each(|node| self.connect(node));
                }
            }
            1 => self.set_address(node, true),
            2 => self.set_address(node, false),
            3 => {
                // A move: gone here, then there.
                (0..self.nodes.len()).for_each(|node| self.set_address(node, false));
                self.set_address(node, true);
            }
            4 => match self.nodes[node] {
                Some(_) => self.kill(node),
                None => self.start(node),
            },
            5 if self.nodes[node].is_some() => {
                self.kill(node);
                self.start(node);
            }
            6..10 => {
                let call = self.rng.random_range(1..=CALLS);
                self.next_state += 1;
                let state = self.next_state;
                if let Some(of) = &mut self.nodes[node] {
                    let outcome = of.change(call, state, now);
                    if outcome == Outcome::Done {
                        assert!(
                            self.has_address[node],
                            "signalling took over without the address"
                        );
                    }
                }
                self.send(node);
            }
            10 if self.rng.random_range(0..4) == 0 => {
                let call = self.rng.random_range(1..=CALLS);
                if let Some(of) = &mut self.nodes[node]
                    && of.call(call).is_some()
                {
                    of.delete(call, now);
                    self.deleted.insert(call);
                }
                self.send(node);
            }
            _ => {
                let time = self.rng.random_range(0..2000);
                self.advance(Duration::from_millis(time));
            }
        }
        self.check();
    }

    /// What holds at every moment.
    fn check(&mut self) {
        let mut owners = BTreeSet::new();
        for (at, node) in self.nodes.iter().enumerate() {
            let Some(node) = node else {
                continue;
            };
            for (call, held) in node.calls() {
                if held.is_owned() {
                    assert!(self.has_address[at], "an owner without the address");
                    assert!(
                        owners.insert((call, held.epoch.clone())),
                        "two owners of one epoch"
                    );
                }
                let content = (call, held.epoch.clone(), held.version);
                let known = self.contents.entry(content).or_insert(held.state);
                assert_eq!(*known, held.state, "one record with two contents");
                assert!(!node.ended.contains_key(&call), "alive and over");
            }
        }
    }

    /// Everything is repaired; nodes without the address may stay dead.
    fn heal(&mut self) {
        let place = self.rng.random_range(0..self.nodes.len());
        for node in 0..self.nodes.len() {
            let stays_dead = node != place && self.rng.random_range(0..4) == 0;
            if stays_dead {
                self.kill(node);
            }
            // It may have moved while its new node was dead, or at any other time.
            if self.nodes[node].is_none() {
                self.has_address[node] = node == place;
                if !stays_dead {
                    self.start(node);
                }
            } else {
                self.set_address(node, node == place);
            }
        }
        if !self.is_linked {
            self.is_linked = true;
            (0..self.nodes.len()).for_each(|node| self.connect(node));
        }
        self.advance(Duration::from_secs(8));
        let alive: Vec<_> = self.nodes.iter().flatten().collect();
        let home = self.nodes[place].as_ref().unwrap();
        for call in 1..=CALLS {
            let is_over = self.deleted.contains(&call)
                && alive.iter().any(|node| node.ended.contains_key(&call));
            for node in &alive {
                let held = node.call(call);
                assert!(
                    !is_over || held.is_none(),
                    "an acknowledged delete was undone"
                );
                let of_home = home.call(call);
                let both = [held, of_home]
                    .map(|held| held.map(|held| (&held.epoch, held.version, held.state)));
                assert_eq!(both[0], both[1], "copies differ");
            }
            if let Some(held) = home.call(call) {
                assert!(held.is_owned(), "nobody owns call {call} at the address");
            }
        }
    }
}

fn run(seed: u64, mutant: Option<Mutant>) {
    let mut world = World::new(seed, mutant);
    for _ in 0..40 {
        world.act();
    }
    world.heal();
}

#[test]
fn one_owner_at_the_address_after_everything() {
    let seeds = std::env::var("SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    for seed in 0..seeds {
        let outcome = std::panic::catch_unwind(|| run(seed, None));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

#[test]
fn each_rule_is_needed() {
    let hook = std::panic::take_hook();
    // Hundreds of expected panics would hide what counts.
    std::panic::set_hook(Box::new(|_| {}));
    let mut caught = Vec::new();
    for mutant in ALL {
        let found =
            (0..20_000).find(|seed| std::panic::catch_unwind(|| run(*seed, Some(mutant))).is_err());
        caught.push((mutant, found));
    }
    std::panic::set_hook(hook);
    assert!(caught.iter().all(|(_, seed)| seed.is_some()), "{caught:?}");
}

fn node(at: usize, has_address: bool) -> Node<u64> {
    Node::new(
        name(at),
        Saved::default(),
        has_address,
        MEDIA_TIMEOUT,
        Duration::ZERO,
    )
}

/// All words of one node, at the other.
fn exchange(from: &mut Node<u64>, to: &mut Node<u64>, now: Duration) {
    while let Some((_, call, word)) = from.poll_word() {
        to.handle_word(&from.name.clone(), call, word, now);
    }
}

#[test]
fn standby_takes_over_with_the_address_and_gives_it_back() {
    let s = Duration::from_secs;
    let (mut a, mut b) = (node(0, true), node(1, false));
    assert_eq!(a.change(1, 11, s(1)), Outcome::Done);
    exchange(&mut a, &mut b, s(1));
    assert!(a.call(1).unwrap().is_owned() && !b.call(1).unwrap().is_owned());
    assert_eq!(b.change(1, 12, s(1)), Outcome::Elsewhere);
    a.set_address(false, s(2));
    assert!(!a.call(1).unwrap().is_owned());
    b.set_address(true, s(2));
    let epoch = b.call(1).unwrap().epoch.clone();
    assert_eq!((epoch.count, epoch.node.as_str()), (2, "node1"));
    exchange(&mut b, &mut a, s(2));
    exchange(&mut a, &mut b, s(2));
    assert_eq!(a.call(1).unwrap().epoch, epoch);
    // A delete that comes to the node without it is carried out and told.
    assert_eq!(a.delete(1, s(3)), Outcome::Done);
    exchange(&mut a, &mut b, s(3));
    assert!(b.call(1).is_none());
    assert_eq!(b.change(1, 13, s(3)), Outcome::Ended);
    // It is remembered for twice the media time-out.
    b.handle_timeout(s(3) + 2 * MEDIA_TIMEOUT);
    assert_eq!(b.change(1, 13, s(2000)), Outcome::Done);
}

#[test]
fn silence_counts_from_the_start() {
    let (mut a, mut b) = (node(0, true), node(1, true));
    a.change(1, 1, Duration::ZERO);
    exchange(&mut a, &mut b, Duration::from_millis(10));
    assert!(!b.call(1).unwrap().is_owned());
    assert_eq!(b.poll_timeout(), Some(Duration::from_millis(3010)));
    b.handle_timeout(Duration::from_millis(3009));
    assert!(!b.call(1).unwrap().is_owned());
    let saved = b.save(Duration::from_millis(3009));
    let mut b = Node::new(
        name(1),
        saved,
        true,
        MEDIA_TIMEOUT,
        Duration::from_millis(5000),
    );
    assert!(!b.call(1).unwrap().is_owned());
    b.handle_timeout(Duration::from_millis(8000));
    assert!(b.call(1).unwrap().is_owned());
}
