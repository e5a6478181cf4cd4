//! Both sides, a holder and two wires on virtual time. Every message can be lost or late, and every
//! process can die at every step.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::message::{Decoder, Message, MessageError};
use super::*;
use crate::limits;

const STEP: Duration = Duration::from_millis(5);

/// What happens to the n-th thing that a process does or says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The message does not arrive.
    Lose,
    /// It arrives so much later, and all behind it.
    Late(Duration),
    OldDies,
    ChildDies,
    /// What is to be done never ends.
    Hang,
    /// It fails.
    Fail,
}

/// How a driver is wrong: the test has to see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    /// The old one takes back before the child is dead.
    Hasty,
    /// The child goes on when the old one has ended.
    Stubborn,
}

/// A process and what is on the way to it.
#[derive(Default)]
struct Process {
    is_alive: bool,
    /// Its workers run.
    serves: bool,
    wire: VecDeque<(Duration, Option<Message>)>,
    /// Things that it does, and when they are done.
    work: Vec<(Duration, Work)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Work {
    Frozen,
    Killed,
    Restored,
    Started,
}

struct World {
    now: Duration,
    old: old::Old,
    child: successor::Successor,
    process: [Process; 2],
    /// A process that the holder has started, and when it begins to serve.
    fresh: Option<(Duration, bool)>,
    has_left: bool,
    /// Whose epoch stands in the live area.
    epoch: u64,
    faults: BTreeMap<usize, Fault>,
    acts: usize,
    wrong: Option<Wrong>,
    reports: Vec<Failure>,
    calls: BTreeMap<u64, [u8; 32]>,
    childs_calls: BTreeMap<u64, [u8; 32]>,
}

const OLD: usize = 0;
const CHILD: usize = 1;

impl World {
    fn new(faults: BTreeMap<usize, Fault>, wrong: Option<Wrong>) -> Self {
        let deadlines = Deadlines::default();
        let now = Duration::from_secs(1);
        let hello = Message::Hello {
            version: "2".to_owned(),
            formats: vec![(2, 1, 3)],
            layouts: (1, 1),
        };
        let process = || Process {
            is_alive: true,
            ..Process::default()
        };
        let calls: BTreeMap<u64, [u8; 32]> = (1..=2000).map(|call| (call, [7; 32])).collect();
        let mut world = Self {
            now,
            old: old::Old::new(deadlines, vec![(2, 3)], 0, now),
            child: successor::Successor::new(deadlines, hello, now),
            process: [process(), process()],
            fresh: None,
            has_left: false,
            epoch: 1,
            faults,
            acts: 0,
            wrong,
            reports: Vec::new(),
            childs_calls: calls.clone(),
            calls,
        };
        world.process[OLD].serves = true;
        world
    }

    /// The fault of the next act.
    fn fault(&mut self) -> Option<Fault> {
        let fault = self.faults.get(&self.acts).copied();
        self.acts += 1;
        match fault {
            Some(Fault::OldDies) => self.die(OLD),
            Some(Fault::ChildDies) => self.die(CHILD),
            _ => {}
        }
        fault
    }

    fn die(&mut self, who: usize) {
        let process = &mut self.process[who];
        if !process.is_alive {
            return;
        }
        (process.is_alive, process.serves) = (false, false);
        process.work.clear();
        process.wire.clear();
        let other = &mut self.process[1 - who];
        if other.is_alive {
            // What is on the way arrives, then the end of the connection.
            let last = other.wire.back().map_or(self.now, |(at, _)| *at);
            other.wire.push_back((last.max(self.now + STEP), None));
        }
    }

    fn send(&mut self, to: usize, message: Message) {
        let fault = self.fault();
        if !self.process[1 - to].is_alive
            || !self.process[to].is_alive
            || fault == Some(Fault::Lose)
        {
            return;
        }
        let late = match fault {
            Some(Fault::Late(time)) => time,
            _ => STEP,
        };
        let last = self.process[to].wire.back().map_or(self.now, |(at, _)| *at);
        self.process[to]
            .wire
            .push_back((last.max(self.now + late), Some(message)));
    }

    fn work(&mut self, who: usize, time: Duration, work: Work) {
        let fault = self.fault();
        if !self.process[who].is_alive {
            return;
        }
        match fault {
            Some(Fault::Hang) if work != Work::Killed => {}
            Some(Fault::Fail) if work != Work::Killed => match who {
                OLD => self.old.failed("x".to_owned()),
                _ => self.child.failed("x".to_owned()),
            },
            Some(Fault::Late(late)) => self.process[who].work.push((self.now + late, work)),
            _ => self.process[who].work.push((self.now + time, work)),
        }
    }

    fn act_old(&mut self, action: old::Action) {
        use old::Action;
        match action {
            Action::SendHere => {
                let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
                for (names, has_more) in
                    [(names(&["queue.0.0"]), true), (names(&["ng.udp.0"]), false)]
                {
                    let run_dir = "/run/windlass".to_owned();
                    self.send(
                        CHILD,
                        Message::Here {
                            run_dir,
                            names,
                            part: u64::from(!has_more),
                            has_more,
                        },
                    );
                }
            }
            Action::Send(message) => self.send(CHILD, message),
            Action::Compare(theirs) => {
                let differing = old::differences(&self.calls, &theirs);
                self.old.compared(differing, self.now);
            }
            Action::Freeze => {
                // Workers stop at some time until it is frozen: at the latest possible one here.
                self.work(OLD, Duration::from_millis(40), Work::Frozen);
            }
            Action::SendGo { number } => {
                for (piece, has_more) in [(vec![1], true), (vec![2], false)] {
                    self.send(
                        CHILD,
                        Message::Go {
                            number,
                            epoch: 1,
                            piece,
                            part: u64::from(!has_more),
                            has_more,
                        },
                    );
                }
            }
            Action::Kill => {
                if self.wrong == Some(Wrong::Hasty) {
                    self.process[OLD].serves = true;
                }
                self.work(OLD, Duration::from_millis(20), Work::Killed);
            }
            Action::TakeBack => {
                self.process[OLD]
                    .work
                    .retain(|(_, work)| *work != Work::Frozen);
                self.epoch += 2;
                self.process[OLD].serves = true;
            }
            Action::Leave => {
                self.send(CHILD, Message::Yours);
                self.has_left = true;
                self.die(OLD);
            }
            Action::Report(why) => self.reports.push(why),
        }
    }

    fn act_child(&mut self, action: successor::Action) {
        use successor::Action;
        match action {
            Action::Send(message) => self.send(OLD, message),
            Action::Restore { names, .. } => {
                assert_eq!(names, ["queue.0.0", "ng.udp.0"]);
                self.work(CHILD, Duration::from_secs(3), Work::Restored);
            }
            Action::Start { saved, epoch, .. } => {
                assert_eq!((saved, epoch), (vec![1, 2], 1));
                // Taking over is a compare-and-swap.
                if self.epoch == 1 {
                    self.epoch = 2;
                    self.process[CHILD].serves = true;
                    self.work(CHILD, Duration::from_millis(30), Work::Started);
                } else {
                    self.child.failed("another epoch".to_owned());
                }
            }
            Action::Serve => {}
            Action::Exit(why) => {
                let is_end = matches!(why, Failure::Closed(_) | Failure::Deadline(_));
                if self.wrong != Some(Wrong::Stubborn) || !is_end {
                    self.die(CHILD);
                }
            }
        }
    }

    fn turn(&mut self) {
        self.now += STEP;
        for who in [OLD, CHILD] {
            if !self.process[who].is_alive {
                continue;
            }
            let now = self.now;
            while self.process[who]
                .wire
                .front()
                .is_some_and(|(at, _)| *at <= now)
            {
                let (_, message) = self.process[who].wire.pop_front().unwrap();
                match (who, message) {
                    (OLD, Some(message)) => self.old.handle_message(message, now),
                    (OLD, None) => self.old.closed(),
                    (_, Some(message)) => self.child.handle_message(message, now),
                    (_, None) => self.child.closed(),
                }
                self.carry_out(who);
            }
            let due: Vec<Work> = self.process[who]
                .work
                .extract_if(.., |(at, _)| *at <= now)
                .map(|(_, work)| work)
                .collect();
            for work in due {
                match work {
                    Work::Frozen => {
                        self.process[OLD].serves = false;
                        self.old.frozen(99, now);
                    }
                    Work::Killed => {
                        self.die(CHILD);
                        self.old.reaped();
                    }
                    Work::Restored => {
                        let digests: Vec<_> = self.childs_calls.clone().into_iter().collect();
                        self.child.restored(&digests, now);
                    }
                    Work::Started => self.child.started(now),
                }
                self.carry_out(who);
            }
            if who == OLD {
                self.old.handle_timeout(now);
            } else {
                self.child.handle_timeout(now);
            }
            self.carry_out(who);
        }
        self.hold();
        let serving = self.process.iter().filter(|process| process.serves).count();
        let fresh = self.fresh.is_some_and(|(_, serves)| serves);
        assert!(serving + usize::from(fresh) <= 1, "two serve");
    }

    fn carry_out(&mut self, who: usize) {
        if who == OLD {
            while self.process[OLD].is_alive
                && let Some(action) = self.old.poll_action()
            {
                self.act_old(action);
            }
        } else {
            while self.process[CHILD].is_alive
                && let Some(action) = self.child.poll_action()
            {
                self.act_child(action);
            }
        }
    }

    /// The holder starts a process when its main one is gone. That waits for the lock, which the
    /// child has, too, and after a second kills who still has it.
    fn hold(&mut self) {
        let main = if self.has_left { CHILD } else { OLD };
        if self.process[main].is_alive {
            return;
        }
        let now = self.now;
        let (started, _) = *self.fresh.get_or_insert((now, false));
        let is_patient = now < started + Duration::from_secs(1);
        if self.process[CHILD].is_alive && !is_patient && self.wrong.is_none() {
            self.die(CHILD);
        }
        if !self.process[CHILD].is_alive || self.wrong.is_some() {
            self.fresh = Some((started, true));
        }
    }

    fn run(mut self) -> Self {
        self.carry_out(CHILD);
        self.carry_out(OLD);
        for _ in 0..20_000 {
            self.turn();
            // Long after everything can have happened.
            let is_quiet = self
                .process
                .iter()
                .all(|p| p.work.is_empty() && p.wire.is_empty())
                && (self.old.poll_timeout().is_none() || !self.process[OLD].is_alive)
                && (self.child.poll_timeout().is_none() || !self.process[CHILD].is_alive);
            if is_quiet && self.fresh.is_none_or(|(_, serves)| serves) {
                break;
            }
        }
        self
    }

    /// Who serves in the end.
    fn serving(&self) -> Vec<&'static str> {
        let mut serving = Vec::new();
        if self.process[OLD].is_alive && self.process[OLD].serves {
            serving.push("old");
        }
        if self.process[CHILD].is_alive && self.child.is_serving() {
            serving.push("child");
        }
        if self.fresh.is_some_and(|(_, serves)| serves) {
            serving.push("fresh");
        }
        serving
    }
}

#[test]
fn successor_takes_over() {
    let world = World::new(BTreeMap::new(), None).run();
    assert_eq!(world.serving(), ["child"]);
    assert!(world.has_left && world.reports.is_empty() && world.old.is_over());
    assert!(world.acts > 10);
}

#[test]
fn one_serves_whatever_happens_at_any_step() {
    let acts = World::new(BTreeMap::new(), None).run().acts;
    let late = |ms| Fault::Late(Duration::from_millis(ms));
    let faults = [
        Fault::Lose,
        late(100),
        late(490),
        late(600),
        late(2_040),
        late(5_000),
        late(40_000),
        Fault::OldDies,
        Fault::ChildDies,
        Fault::Hang,
        Fault::Fail,
    ];
    let mut ends = BTreeMap::new();
    for at in 0..acts {
        for fault in faults {
            let world = World::new(BTreeMap::from([(at, fault)]), None).run();
            let serving = world.serving();
            assert_eq!(serving.len(), 1, "act {at}, {fault:?}: {serving:?}");
            let survives = !matches!(fault, Fault::OldDies) && !world.has_left;
            if survives {
                assert_eq!(serving, ["old"], "act {at}, {fault:?}");
                assert_eq!(world.reports.len(), 1, "act {at}, {fault:?}");
            }
            *ends.entry(serving[0]).or_insert(0) += 1;
        }
    }
    // Every end was seen.
    assert!(
        ends["old"] > 30 && ends["child"] > 10 && ends["fresh"] > 10,
        "{ends:?}"
    );
}

#[test]
fn one_serves_after_many_faults() {
    for seed in 0..3000 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut faults = BTreeMap::new();
        for _ in 0..rng.random_range(1..5) {
            let fault = match rng.random_range(0..8) {
                0 => Fault::Lose,
                1 => Fault::OldDies,
                2 => Fault::ChildDies,
                3 => Fault::Hang,
                4 => Fault::Fail,
                _ => Fault::Late(Duration::from_millis(rng.random_range(0..3000))),
            };
            faults.insert(rng.random_range(0..20), fault);
        }
        let world = World::new(faults.clone(), None).run();
        assert_eq!(world.serving().len(), 1, "seed {seed}: {faults:?}");
    }
}

#[test]
fn drivers_that_break_the_rules_are_seen() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let acts = World::new(BTreeMap::new(), None).run().acts;
    let seen = [
        (Wrong::Hasty, Fault::Late(Duration::from_millis(600))),
        (Wrong::Stubborn, Fault::OldDies),
    ];
    let seen = seen.map(|(wrong, fault)| {
        (0..acts).any(|at| {
            let run = || _ = World::new(BTreeMap::from([(at, fault)]), Some(wrong)).run();
            std::panic::catch_unwind(run).is_err()
        })
    });
    std::panic::set_hook(hook);
    assert_eq!(seen, [true, true]);
}

#[test]
fn calls_that_differ_are_named() {
    let mut world = World::new(BTreeMap::new(), None);
    world.childs_calls.insert(5, [8; 32]);
    world.childs_calls.remove(&9);
    world.childs_calls.insert(3000, [1; 32]);
    let world = world.run();
    assert_eq!(world.serving(), ["old"]);
    assert_eq!(world.reports, [Failure::Differs(vec![5, 9, 3000])]);
    assert_eq!(
        world.reports[0].to_string(),
        "3 calls differ, the first is number 5"
    );
}

#[test]
fn successor_that_reads_no_format_is_refused() {
    let mut world = World::new(BTreeMap::new(), None);
    world.old = old::Old::new(Deadlines::default(), vec![(2, 7)], 0, world.now);
    let world = world.run();
    assert_eq!(world.serving(), ["old"]);
    let why = world.reports[0].to_string();
    assert_eq!(
        why,
        "refused: state format 7 of record kind 2, you read 1-3"
    );
}

fn messages() -> Vec<Message> {
    vec![
        Message::Hello {
            version: "0.2".to_owned(),
            formats: vec![(1, 1, 1), (2, 3, 6)],
            layouts: (4, u64::MAX),
        },
        Message::Here {
            run_dir: "/run/windlass".to_owned(),
            names: vec!["queue.0.1".to_owned(), "é".to_owned()],
            part: 3,
            has_more: true,
        },
        Message::Refused {
            reason: "no".to_owned(),
        },
        Message::Digests {
            calls: vec![(1, [1; 32]), (u64::MAX, [255; 32])],
        },
        Message::Ready { calls: 2 },
        Message::Go {
            number: 5,
            epoch: 6,
            piece: vec![0; 300],
            part: 0,
            has_more: false,
        },
        Message::Alive,
        Message::Yours,
        Message::Failed {
            reason: String::new(),
        },
    ]
}

#[test]
fn frames_are_read_as_written_whatever_the_pieces() {
    let mut bytes = Vec::new();
    messages()
        .iter()
        .for_each(|message| message.write(&mut bytes));
    for piece in [1, 3, 64, 100_000] {
        let mut decoder = Decoder::default();
        let mut read = Vec::new();
        for piece in bytes.chunks(piece) {
            decoder.push(piece);
            while let Some(message) = decoder.next_message().unwrap() {
                read.push(message);
            }
        }
        assert_eq!(read, messages());
    }
    // The fullest frame of digests fits.
    let calls = vec![(u64::MAX, [0; 32]); limits::DIGESTS_A_FRAME];
    let mut full = Vec::new();
    Message::Digests { calls }.write(&mut full);
    assert!(full.len() <= limits::FRAME_BYTES);
    let mut decoder = Decoder::default();
    decoder.push(&[0, 1, 0, 1]);
    assert_eq!(decoder.next_message(), Err(MessageError::Size(65_537)));
}

proptest! {
    #[test]
    fn no_bytes_panic(mut bytes: Vec<u8>, kind in 0u8..12) {
        let _ = Message::read(&bytes);
        bytes.insert(0, kind);
        let _ = Message::read(&bytes);
        let mut decoder = Decoder::default();
        decoder.push(&bytes);
        while let Ok(Some(_)) = decoder.next_message() {}
    }
}
