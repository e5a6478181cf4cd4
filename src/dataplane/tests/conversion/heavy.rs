//! Codecs that have threads of their own: here their jobs are done when the test says so.

use windlass_audio::catalogue::LibraryId;
use windlass_audio::library::Libraries;

use super::*;
use crate::limits::{CODEC_JOBS_PER_THREAD, CODEC_WAITING};

/// `None` where the library is not installed.
fn line() -> Option<Line> {
    let (libraries, found) = Libraries::open(&[LibraryId::Opus]);
    if let Some((_, Err(error))) = found.into_iter().next() {
        eprintln!("skipped: {error}");
        return None;
    }
    let mut world = World::new();
    world.flows.desk.libraries = libraries;
    let opus = format(96, "opus", 48_000, 2);
    Some(Line::with(world, to(opus), |_| {}))
}

impl Line {
    /// The threads do all that waits, and the worker takes it.
    fn work(&mut self) -> Vec<String> {
        while self.world.flows.desk.queue.run_one() {
            self.world.pass(0);
            let now = self.world.now();
            self.world.flows.take_converted(now);
            self.world.pass(0);
        }
        let told = self.told();
        let short = |it: String| it.split('[').next().unwrap_or_default().to_owned();
        told.into_iter().map(short).collect()
    }
}

#[test]
fn packets_come_back_in_their_order() {
    let Some(mut line) = line() else { return };
    assert!(line.be_silent().is_empty(), "no worker encodes Opus");
    for _ in 0..3 {
        assert!(line.be_silent().is_empty());
    }
    // The first one was on its way; the others waited together.
    assert_eq!(
        line.work(),
        [
            "96:1000@5000",
            "96:1001@5960",
            "96:1002@6920",
            "96:1003@7880"
        ]
    );
    assert!(!line.world.flows.desk.queue.run_one());
    line.be_silent();
    assert_eq!(line.work(), ["96:1004@8840"]);
    assert_eq!(line.stats[1].sent.slot(0).unwrap().packets.load(Relaxed), 5);
    assert_eq!(line.stats[0].errors_in.load(Relaxed), 0);
}

#[test]
fn what_there_is_no_time_for_is_dropped() {
    let Some(mut line) = line() else { return };
    // One is on its way, and so many wait.
    for _ in 0..=CODEC_WAITING + 3 {
        line.be_silent();
    }
    let busy = drops(&line.stats[0], DropReason::CodecBusy).load(Relaxed);
    assert_eq!((busy, line.dropped(AudioDrop::CodecBusy)), (3, 3));
    assert_eq!(line.work().len(), 1 + CODEC_WAITING);
    line.be_silent();
    assert_eq!(line.work().len(), 1);
}

#[test]
fn a_full_queue_drops_and_the_call_goes_on() {
    let Some(mut line) = line() else { return };
    let opus = format(96, "opus", 48_000, 2);
    // Other calls fill the queue.
    for call in 0..u16::try_from(CODEC_JOBS_PER_THREAD).unwrap() {
        let first = 31_000 + 4 * call;
        let parties = [party(1), party(2)];
        let number = 10 + u64::from(call);
        line.world
            .install(number, [first, first + 2], parties, |specs| {
                specs[0].sinks[0].rules = Some(Box::new(rules(to(opus.clone()))));
            });
        let packet = packet(8, 1, 1, &[0xd5; 160]);
        line.world.arrive((party(1), local(first), packet));
    }
    line.be_silent();
    let busy = drops(&line.stats[0], DropReason::CodecBusy).load(Relaxed);
    assert_eq!(busy, 1);
    line.work();
    line.be_silent();
    // The chain has never seen the first one.
    assert_eq!(line.work(), ["96:1001@5160"]);
}

#[test]
fn a_flow_may_go_or_change_while_its_chain_is_away() {
    let Some(mut line) = line() else { return };
    line.be_silent();
    line.work();
    line.be_silent();
    let [mut caller, _] = line.specs(to(pcmu()));
    caller.sinks[0]
        .rules
        .as_mut()
        .unwrap()
        .conversion
        .as_mut()
        .unwrap()
        .ptime_ms = 20;
    line.change(caller);
    assert!(line.work().is_empty(), "it is not what is wanted any more");
    // What was on its way is as if it had been lost.
    assert!(line.be_silent().is_empty());
    assert_eq!(line.be_silent(), ["0:1002@5960[160]", "0:1003@6120[160]"]);
    let opus = format(96, "opus", 48_000, 2);
    let [caller, _] = line.specs(to(opus));
    line.change(caller);
    line.be_silent();
    line.world.hang_up(1, PORTS);
    assert!(line.work().is_empty());
}

#[test]
fn opus_is_decoded_for_a_party_without_it() {
    let Some(mut line) = line() else { return };
    line.be_silent();
    while line.world.flows.desk.queue.run_one() {}
    let now = line.world.now();
    line.world.flows.take_converted(now);
    line.world.pass(0);
    let opus = line.packets().remove(0);
    let mut back = to(pcma());
    back.routes[0].from = format(96, "opus", 48_000, 2);
    let mut world = World::new();
    world.flows.desk.libraries = line.world.flows.desk.libraries.clone();
    let mut other = Line::with(world, back, |_| {});
    other.arrive(opus);
    assert_eq!(other.work(), ["8:1000@5000"]);
    // What is no Opus is an error, and nothing else.
    let bad = packet(96, 1001, 5960, &[0xff; 7]);
    other.arrive(bad);
    assert!(other.work().is_empty());
    let errors = drops(&other.stats[0], DropReason::CodecError).load(Relaxed);
    assert_eq!(errors, 1);
}

/// With real threads and sockets.
#[test]
fn threads_of_codecs_wake_the_worker() {
    let (libraries, found) = Libraries::open(&[LibraryId::Opus]);
    if let Some((_, Err(error))) = found.into_iter().next() {
        eprintln!("skipped: {error}");
        return;
    }
    let services = Services {
        audio: Audio {
            libraries,
            threads: 2,
        },
        ..Services::default()
    };
    let bench = Bench::with(services, false).unwrap();
    let opus = format(96, "opus", 48_000, 2);
    let stats = bench.install(|spec| {
        spec.sinks[0].rules = Some(Box::new(rules(to(opus))));
    });
    for sequence in 1..50 {
        bench.send(0, &rtp(sequence));
        let heard = bench.hear(1).0;
        assert_eq!(heard[1], 96);
        assert_eq!(heard[2..4], sequence.to_be_bytes());
    }
    await_count(&stats[1].packets_out, 49);
    let audio = bench.dataplane.audio_stats();
    let mut codecs = audio[0].codecs();
    let (_, _, encoded) = codecs.find(|(name, ..)| *name == "opus").unwrap();
    await_count(&encoded.frames, 49);
}
