//! Digits of converted audio: replaced, played and heard (media-services §7).

use super::*;
use crate::flow::digits::{DigitBlock, DigitRule};
use crate::media::dtmf::{Digit, Pressed};
use crate::media::g711::Tone as Chord;

fn digit(key: char) -> Digit {
    Digit::from_char(key).unwrap()
}

fn blocked(conversion: Conversion, rule: DigitRule) -> Line {
    Line::with(World::new(), conversion, |specs| {
        let rules = specs[0].sinks[0].rules.as_mut().unwrap();
        rules.withhold.digits = DigitBlock::from_now_on(rule);
        rules.withhold.events.insert(101);
    })
}

fn sounding() -> Conversion {
    let mut conversion = to(pcmu());
    conversion.routes[1].treatment = Treatment::Sound(pcmu());
    conversion
}

fn play(line: &mut Line, payload_type: u8) -> Result<(), &'static str> {
    let injection = Injection {
        from: local(PORTS[0]),
        via: local(PORTS[1]),
        digit: digit('5'),
        duration_ms: 100,
        pause_ms: 100,
        volume: 8,
        payload_type,
        clock_rate: 8000,
    };
    let now = line.world.now();
    line.world.flows.inject(injection, now)
}

#[test]
fn events_pass_or_become_tones() {
    let mut line = Line::new(to(pcmu()));
    line.be_silent();
    assert_eq!(line.event(5, 160, false), ["101:1001@5160[4]"]);
    let mut line = Line::new(sounding());
    line.be_silent();
    assert_eq!(line.event(5, 160, false), ["0:1001@5160[160]"]);
    // Audio beside it is the digit, too.
    assert!(line.be_silent().is_empty());
}

#[test]
fn digits_are_replaced_as_their_rule_says() {
    let rule = DigitRule::Digit {
        digit: digit('0'),
        volume: Some(20),
    };
    let mut line = blocked(to(pcmu()), rule);
    line.be_silent();
    line.world.heard.clear();
    let event = Event {
        event: 5,
        is_end: false,
        volume: 10,
        duration: 160,
    };
    let packet = packet(101, line.sequence, line.timestamp, &event.to_bytes());
    line.world.arrive((party(1), local(PORTS[0]), packet));
    assert_eq!(line.packets()[0][12..], [0, 20, 0, 160]);
    for (rule, is_loud) in [
        (DigitRule::Silence, false),
        (
            DigitRule::Tone(Chord {
                hz: [400, 0, 0, 0],
                volume: 10,
            }),
            true,
        ),
    ] {
        for conversion in [to(pcmu()), sounding()] {
            let mut line = blocked(conversion, rule);
            line.be_silent();
            let event = self::packet(101, line.sequence, line.timestamp, &event.to_bytes());
            line.world.arrive((party(1), local(PORTS[0]), event));
            let heard = line.packets();
            assert_eq!((heard.len(), heard[0].len()), (1, 172));
            assert_eq!(loudest(&heard[0]) > 5000, is_loud, "{rule:?}");
        }
    }
    let mut line = blocked(to(pcmu()), DigitRule::Drop);
    line.be_silent();
    assert!(line.event(5, 160, false).is_empty());
    assert!(line.event(5, 320, true).is_empty());
    assert_eq!(line.be_silent(), ["0:1001@5160[160]"]);
}

#[test]
fn a_digit_in_the_audio_is_no_way_around_a_block() {
    let mut conversion = to(pcmu());
    conversion.detect = true;
    let mut line = blocked(conversion, DigitRule::Drop);
    line.be_silent();
    line.whistle(5, 4);
    line.world.heard.clear();
    let mut tone = Tone::of_event(5, 10, 8000).unwrap();
    let mut samples = Vec::new();
    tone.generate(160, &mut samples);
    let mut payload = Vec::new();
    windlass_audio::codec::g711::Law::A.encode(&samples, &mut payload);
    let packet = packet(8, line.sequence, line.timestamp, &payload);
    line.world.arrive((party(1), local(PORTS[0]), packet));
    assert_eq!(loudest(&line.packets()[0]), 0);
}

#[test]
fn digits_in_the_audio_are_reported_once_and_become_events() {
    let mut conversion = to(pcmu());
    conversion.detect = true;
    conversion.events = Some(events(97, 8000));
    let mut line = Line::new(conversion);
    line.be_silent();
    let told = line.whistle(5, 10);
    assert!(
        told.iter().any(|packet| packet.starts_with("97:")),
        "{told:?}"
    );
    for _ in 0..10 {
        line.be_silent();
    }
    let mut digits = Vec::new();
    while let Ok(event) = line.events.try_recv() {
        if let Happening::Digit { pressed, from } = event.event {
            assert_eq!(
                (event.call, event.local, from),
                (1, local(PORTS[0]), party(1))
            );
            digits.push(pressed);
        }
    }
    let [
        Pressed {
            digit: heard,
            duration_ms,
            ..
        },
    ] = digits[..]
    else {
        panic!("{digits:?}");
    };
    assert_eq!(heard, digit('5'));
    assert!((160..=240).contains(&duration_ms), "{duration_ms}");
}

#[test]
fn a_digit_is_played_as_an_event_where_there_are_some() {
    let mut line = Line::new(to(pcmu()));
    assert_eq!(
        play(&mut line, 101),
        Err("No SSRC context present for DTMF injection")
    );
    line.be_silent();
    line.world.pass(20);
    line.be_silent();
    assert_eq!(play(&mut line, 101), Ok(()));
    let told: Vec<_> = (0..6).flat_map(|_| line.be_silent()).collect();
    let events = told.iter().filter(|it| it.starts_with("101:1002@5320[4]M"));
    assert_eq!(events.count(), 1, "{told:?}");
    // Five packets, with two copies of the last, and audio goes on behind them.
    assert_eq!(told[4..7].len(), 3);
    assert_eq!(told.last().unwrap(), "0:1009@6120[160]");
}

#[test]
fn a_digit_is_played_as_a_tone_where_there_are_no_events() {
    let mut line = Line::new(sounding());
    line.be_silent();
    assert_eq!(play(&mut line, 101), Ok(()));
    let mut loud = 0;
    for _ in 0..10 {
        let packet = packet(8, line.sequence, line.timestamp, &[0xd5; 160]);
        line.sequence += 1;
        line.timestamp += 160;
        line.world.arrive((party(1), local(PORTS[0]), packet));
        loud += usize::from(loudest(&line.packets()[0]) > 1000);
    }
    assert_eq!(loud, 5);
}

#[test]
fn a_tone_is_played_while_the_source_says_nothing() {
    let mut line = Line::new(sounding());
    line.be_silent();
    line.world.pass(20);
    assert_eq!(play(&mut line, 101), Ok(()));
    let mut loud = 0;
    for _ in 0..50 {
        line.world.pass(10);
        loud += line
            .packets()
            .iter()
            .filter(|it| loudest(it) > 1000)
            .count();
    }
    assert_eq!(loud, 5);
    assert!(line.world.flows.timers.wait(line.world.now()) > Duration::from_millis(100));
    // Many are too many.
    let refused = (0..1000).find_map(|_| play(&mut line, 101).err());
    assert_eq!(refused, Some("too many digits are waiting to be played"));
}
