//! What leaves in its time: a jitter buffer, and gaps that are filled (media-services §4.4, §4.5).

use windlass_audio::dtx::DtxSettings;
use windlass_audio::jitter::JitterSettings;

use super::*;

fn in_time(packets: usize) -> Conversion {
    Conversion {
        jitter: Some(JitterSettings {
            packets,
            clock: 8000,
            follow_drift: false,
            adaptive: None,
        }),
        ..to(pcmu())
    }
}

fn filled(delay: Duration) -> Conversion {
    Conversion {
        dtx: Some(DtxSettings {
            delay,
            longest: Some(Duration::from_millis(500)),
            buffer: 10,
            lag: Duration::from_millis(100),
            shift: Duration::ZERO,
            clock: 8000,
            ptime: Duration::from_millis(20),
        }),
        ..to(pcmu())
    }
}

#[test]
fn packets_that_come_early_leave_in_their_time() {
    let mut line = Line::new(in_time(10));
    assert_eq!(
        line.be_silent(),
        ["0:1000@5000[160]"],
        "no delay without jitter"
    );
    // The next two come at once, the later one first.
    let (second, third) = (
        packet(8, 1001, 5160, &[0xd5; 160]),
        packet(8, 1002, 5320, &[0xd5; 160]),
    );
    assert!(line.arrive(third).is_empty());
    assert!(line.arrive(second).is_empty());
    line.world.pass(19);
    assert!(line.told().is_empty());
    line.world.pass(2);
    assert_eq!(line.told(), ["0:1001@5160[160]"]);
    line.world.pass(20);
    assert_eq!(line.told(), ["0:1002@5320[160]"]);
    // What has left already is late.
    assert!(line.arrive(packet(8, 1001, 5160, &[0xd5; 160])).is_empty());
    assert_eq!(line.dropped(AudioDrop::Late), 1);
    // Nothing waits, nothing wakes the worker.
    line.world.pass(2000);
    assert!(line.world.flows.timers.wait(line.world.now()) > Duration::from_millis(100));
}

#[test]
fn a_gap_is_filled_until_the_source_is_gone() {
    let mut line = Line::new(filled(Duration::from_millis(40)));
    assert!(line.be_silent().is_empty());
    line.world.pass(20);
    line.be_silent();
    line.world.pass(20);
    assert_eq!(line.told(), ["0:1000@5000[160]"]);
    line.world.pass(20);
    assert_eq!(line.told(), ["0:1001@5160[160]"]);
    for packet in 2..10u16 {
        line.world.pass(20);
        let timestamp = 5000 + 160 * u32::from(packet);
        let expected = format!("0:{}@{timestamp}[160]", 1000 + packet);
        assert_eq!(line.told(), [expected]);
    }
    for _ in 0..100 {
        line.world.pass(20);
    }
    let filled = line.told().len();
    assert!((10..25).contains(&filled), "{filled}");
    line.world.pass(1000);
    assert!(line.told().is_empty());
    assert!(line.world.flows.timers.wait(line.world.now()) > Duration::from_millis(100));
}

#[test]
fn noise_fills_gaps_if_it_is_asked_for() {
    let mut line = Line::new(Conversion {
        dtx_noise: vec![40],
        ..filled(Duration::from_millis(20))
    });
    line.be_silent();
    line.world.pass(20);
    line.packets();
    line.world.pass(20);
    let heard = line.packets();
    assert!(
        (1..5000).contains(&loudest(&heard[0])),
        "{}",
        loudest(&heard[0])
    );
}

#[test]
fn what_waits_is_bounded() {
    for conversion in [in_time(100), filled(Duration::from_secs(1))] {
        let mut line = Line::new(conversion);
        for _ in 0..1000 {
            line.be_silent();
        }
        let heard = line.told().len();
        for _ in 0..200 {
            line.world.pass(20);
        }
        assert!(heard + line.told().len() <= 1000);
    }
}

#[test]
fn a_flow_that_is_gone_leaves_timers_that_do_nothing() {
    let mut line = Line::new(filled(Duration::from_millis(40)));
    line.be_silent();
    line.world.hang_up(1, PORTS);
    line.world.pass(100);
    assert!(line.told().is_empty());
}
