use std::net::SocketAddr;

use super::*;
use crate::media::dtmf::Digit;

const SSRC: u32 = 7;

fn digit(key: char) -> Injection {
    let local = SocketAddr::from(([127, 0, 0, 1], 4000));
    Injection {
        from: local,
        via: local,
        digit: Digit::from_char(key).unwrap(),
        duration_ms: 100,
        pause_ms: 100,
        volume: 8,
        payload_type: 101,
        clock_rate: 8000,
    }
}

fn header(payload_type: u8, sequence: u16, timestamp: u32) -> RtpHeader {
    RtpHeader {
        marker: false,
        payload_type,
        sequence,
        timestamp,
        ssrc: SSRC,
        payload_at: 12,
    }
}

/// What leaves: audio by number and timestamp, or an event.
#[derive(Debug, PartialEq, Eq)]
enum Left {
    Audio(u16, u32),
    /// Number, timestamp, marker, code, duration, end.
    Event(u16, u32, bool, u8, u16, bool),
}
use Left::{Audio, Event as Told};

fn read(packet: &[u8]) -> Left {
    let header = RtpHeader::parse(packet).unwrap();
    let event = TelephoneEvent::parse(&packet[header.payload_at..]).unwrap();
    assert_eq!(
        (header.ssrc, header.payload_type, event.volume),
        (SSRC, 101, 8)
    );
    Told(
        header.sequence,
        header.timestamp,
        header.marker,
        event.code,
        event.duration,
        event.end,
    )
}

struct Bench {
    outgoing: Outgoing,
    start: Instant,
}

impl Bench {
    /// A source that was heard with number 500 and timestamp 8000.
    #[expect(clippy::disallowed_methods, reason = "tests need a start of time")]
    fn playing(digits: &str) -> Self {
        let start = Instant::now();
        let mut outgoing = Outgoing::default();
        let heard = Last {
            ssrc: SSRC,
            sequence: 500,
            timestamp: 8000,
            at: start,
        };
        for key in digits.chars() {
            outgoing.play(digit(key), Some(heard), start).unwrap();
        }
        Self { outgoing, start }
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    /// What leaves for a packet that arrives `ms` after the start.
    fn arrives(
        &mut self,
        ms: u64,
        header: RtpHeader,
        is_withheld: bool,
        payload: &[u8],
    ) -> Vec<Left> {
        let now = self.at(ms);
        let passage = self.outgoing.on_packet(&header, is_withheld, payload, now);
        match passage {
            Passage::Numbered(_) if is_withheld => Vec::new(),
            Passage::Numbered(number) => {
                self.outgoing.went(&header, number);
                vec![Audio(number, header.timestamp)]
            }
            Passage::Event(event) => {
                let mut packet = vec![0x80, 8, 0, 0, 0, 0, 0, 0];
                packet.extend_from_slice(&header.ssrc.to_be_bytes());
                packet.extend_from_slice(payload);
                event.apply(12, &mut packet);
                let mut left = vec![read(&packet)];
                for copy in 1..=event.copies() {
                    rtp::set_sequence(&mut packet, event.sequence.wrapping_add(copy));
                    left.push(read(&packet));
                }
                left
            }
            Passage::Late => Vec::new(),
        }
    }

    /// 20 ms of audio, number `sequence` of the grid that began with 500 at 8000.
    fn audio(&mut self, sequence: u16) -> Vec<Left> {
        self.audio_at(u64::from(sequence - 500) * 20, sequence)
    }

    fn audio_at(&mut self, ms: u64, sequence: u16) -> Vec<Left> {
        let timestamp = 8000 + 160 * u32::from(sequence - 500);
        self.arrives(ms, header(8, sequence, timestamp), false, &[0xd5; 160])
    }

    /// What our own clock sends until a time.
    fn silent_until(&mut self, ms: u64) -> Vec<Left> {
        let mut left = Vec::new();
        while let Some(due) = self.outgoing.due().filter(|due| *due <= self.at(ms)) {
            left.extend(self.outgoing.poll(due).map(|packet| read(&packet)));
        }
        left
    }
}

#[test]
fn packets_are_replaced_one_for_one_and_pass_in_the_pause() {
    // The example of media-behaviour §11.1, number by number.
    let mut bench = Bench::playing("56");
    for (sequence, duration) in [(501, 160), (502, 320), (503, 480), (504, 640)] {
        let event = Told(sequence, 8160, sequence == 501, 5, duration, false);
        assert_eq!(bench.audio(sequence), [event]);
    }
    let end = |sequence| Told(sequence, 8160, false, 5, 800, true);
    assert_eq!(bench.audio(505), [end(505), end(506), end(507)]);
    for sequence in 506..=510 {
        let timestamp = 8000 + 160 * u32::from(sequence - 500);
        assert_eq!(bench.audio(sequence), [Audio(sequence + 2, timestamp)]);
    }
    assert_eq!(bench.audio(511), [Told(513, 9760, true, 6, 160, false)]);
    for sequence in 512..=514 {
        bench.audio(sequence);
    }
    assert_eq!(bench.audio(515).len(), 3);
    // Two digits, four numbers; timestamps stay.
    assert_eq!(bench.audio(516), [Audio(520, 10_560)]);
    assert_eq!(bench.outgoing.due(), None);
}

#[test]
fn the_wall_clock_is_not_looked_at() {
    // A burst that is late, but within three packet times of silence.
    let mut bench = Bench::playing("5");
    let durations: Vec<Vec<Left>> = (501..=505).map(|n| bench.audio_at(59, n)).collect();
    let lengths = durations.iter().map(Vec::len);
    assert_eq!(lengths.collect::<Vec<_>>(), [1, 1, 1, 1, 3]);
    assert_eq!(bench.audio_at(59, 506), [Audio(508, 8960)]);
}

#[test]
fn a_digit_that_is_asked_for_in_the_pause_waits_too() {
    let mut bench = Bench::playing("5");
    (501..=505).for_each(|sequence| drop(bench.audio(sequence)));
    bench
        .outgoing
        .play(digit('6'), None, bench.at(110))
        .unwrap();
    for sequence in 506..=510 {
        assert!(matches!(bench.audio(sequence)[..], [Audio(..)]));
    }
    assert_eq!(bench.audio(511), [Told(513, 9760, true, 6, 160, false)]);
}

#[test]
fn withheld_events_are_packets_too() {
    // An event at 8000, blocked; its second packet tells 320 units.
    let mut bench = Bench::playing("5");
    let event = |duration: u16, end: u8| {
        let [high, low] = duration.to_be_bytes();
        [1, end | 10, high, low]
    };
    let blocked = |bench: &mut Bench, sequence, duration, end| {
        let ms = u64::from(sequence - 500) * 20;
        let payload = event(duration, end);
        bench.arrives(ms, header(101, sequence, 8000), true, &payload)
    };
    assert_eq!(
        blocked(&mut bench, 501, 320, 0),
        [Told(501, 8320, true, 5, 160, false)]
    );
    assert_eq!(
        blocked(&mut bench, 502, 480, 0),
        [Told(502, 8320, false, 5, 320, false)]
    );
    assert_eq!(
        blocked(&mut bench, 503, 640, 0x80),
        [Told(503, 8320, false, 5, 480, false)]
    );
    // Copies of its end have nothing to tell, and stay withheld.
    assert_eq!(blocked(&mut bench, 504, 640, 0x80), []);
    assert_eq!(blocked(&mut bench, 505, 640, 0x80), []);
    // Audio goes on: the digit comes to its length.
    let audio = header(8, 506, 8800);
    let left = bench.arrives(120, audio, false, &[0xd5; 160]);
    let end = |sequence| Told(sequence, 8320, false, 5, 640, false);
    assert_eq!(left, [end(506)]);
    let audio = header(8, 507, 8960);
    assert_eq!(bench.arrives(140, audio, false, &[0xd5; 160]).len(), 3);
}

#[test]
fn a_silent_source_is_given_a_clock_of_ours() {
    let mut bench = Bench::playing("56");
    assert_eq!(bench.silent_until(59), []);
    let left = bench.silent_until(1000);
    // From 60 ms on, a packet each 20 ms.
    let first = 8000 + 480;
    let mut expected: Vec<Left> = (0..4)
        .map(|n| Told(501 + n, first, n == 0, 5, 160 * (n + 1), false))
        .collect();
    expected.extend((505..=507).map(|n| Told(n, first, false, 5, 800, true)));
    let second = first + 1600;
    expected.extend((0..4).map(|n| Told(508 + n, second, n == 0, 6, 160 * (n + 1), false)));
    expected.extend((512..=514).map(|n| Told(n, second, false, 6, 800, true)));
    assert_eq!(left, expected);
    // When the source is back, it follows, whatever was its number.
    assert_eq!(bench.audio_at(1000, 550), [Audio(515, 16_000)]);
    assert_eq!(bench.audio_at(1020, 551), [Audio(516, 16_160)]);
}

#[test]
fn a_source_that_falls_silent_or_comes_back_within_a_digit() {
    let mut bench = Bench::playing("5");
    assert_eq!(bench.audio(501), [Told(501, 8160, true, 5, 160, false)]);
    // Three packet times after it: 80 ms.
    assert_eq!(
        bench.silent_until(90),
        [Told(502, 8160, false, 5, 640, false)]
    );
    // What was told already is not told again.
    assert_eq!(bench.audio_at(91, 502), []);
    assert_eq!(bench.audio_at(92, 504), []);
    let left = bench.audio_at(95, 505);
    assert_eq!(left.first(), Some(&Told(503, 8160, false, 5, 800, true)));
    assert_eq!(bench.audio_at(110, 506), [Audio(506, 8960)]);
}

#[test]
fn packets_that_were_overtaken_take_no_number_twice() {
    let mut bench = Bench::playing("5");
    assert_eq!(bench.audio(502), [Told(502, 8320, true, 5, 160, false)]);
    // It was sent before the digit began, and its number is free.
    assert_eq!(bench.audio_at(40, 501), [Audio(501, 8160)]);
    (503..=505).for_each(|sequence| drop(bench.audio(sequence)));
    assert_eq!(bench.audio(506).len(), 3);
    // Its number plus two is that of a copy of the end.
    assert_eq!(bench.audio_at(121, 505), []);
    assert_eq!(bench.audio_at(122, 506), []);
    assert_eq!(bench.audio(507), [Audio(509, 9120)]);
    // Once round, the number means nothing any more.
    for sequence in (0..=u16::MAX).map(|n| 508_u16.wrapping_add(n)) {
        let header = header(8, sequence, u32::from(sequence) * 160);
        assert_eq!(
            bench.arrives(140, header, false, &[]).len(),
            1,
            "{sequence}"
        );
    }
}

#[test]
fn a_source_that_begins_anew_cannot_stop_a_digit() {
    let mut bench = Bench::playing("5");
    bench.audio(501);
    let mut left = Vec::new();
    for n in 0..4 {
        let header = header(8, 30_000 + n, 4_000_000_000 + 160 * u32::from(n));
        left.extend(bench.arrives(40, header, false, &[0xd5; 160]));
    }
    let durations = left.iter().map(|left| match left {
        Told(_, 8160, _, 5, duration, _) => *duration,
        other => panic!("{other:?}"),
    });
    assert_eq!(
        durations.collect::<Vec<_>>(),
        [320, 480, 640, 800, 800, 800]
    );
    let header = header(8, 30_004, 4_000_000_640);
    assert_eq!(
        bench.arrives(60, header, false, &[]),
        [Audio(30_006, 4_000_000_640)]
    );
}

#[test]
fn another_source_passes_beside_a_digit() {
    let mut bench = Bench::playing("5");
    bench.audio(501);
    let other = RtpHeader {
        ssrc: 8,
        ..header(8, 90, 70)
    };
    let now = bench.at(30);
    assert_eq!(
        bench.outgoing.on_packet(&other, false, &[], now),
        Passage::Numbered(90)
    );
    bench.outgoing.went(&other, 90);
    assert_eq!(bench.audio(502), [Told(502, 8160, false, 5, 320, false)]);
}

#[test]
fn packets_that_are_taken_out_leave_no_gap() {
    let mut bench = Bench::playing("");
    let skip = |bench: &mut Bench, sequence| {
        let header = header(8, sequence, u32::from(sequence) * 160);
        let now = bench.start;
        bench.outgoing.on_packet(&header, false, &[], now);
        bench.outgoing.skip(&header);
    };
    let number = |left: Vec<Left>| match left[..] {
        [Audio(number, _)] => number,
        _ => panic!("{left:?}"),
    };
    assert_eq!(number(bench.audio(541)), 541);
    skip(&mut bench, 542);
    skip(&mut bench, 542);
    skip(&mut bench, 543);
    assert_eq!(number(bench.audio(544)), 542);
    skip(&mut bench, 543);
    assert_eq!(number(bench.audio(545)), 543);
}

#[test]
fn there_must_be_a_stream_and_only_so_many_digits_wait() {
    let mut bench = Bench::playing("");
    let now = bench.start;
    assert_eq!(bench.outgoing.play(digit('1'), None, now), Err(NO_STREAM));
    bench.audio(501);
    for _ in 0..=QUEUED_DIGITS {
        bench.outgoing.play(digit('1'), None, now).unwrap();
    }
    assert_eq!(bench.outgoing.play(digit('1'), None, now), Err(QUEUE_FULL));
}

proptest::proptest! {
    #[test]
    fn any_packets_return(
        packets in proptest::collection::vec(
            (proptest::num::u16::ANY, proptest::num::u32::ANY, 0_u32..3, 0_u64..100),
            0..60,
        ),
        clock_rate in proptest::num::u32::ANY,
    ) {
        let mut bench = Bench::playing("1");
        let injection = Injection { clock_rate, ..digit('2') };
        let (mut ms, now) = (0, bench.start);
        for (sequence, timestamp, ssrc, later) in packets {
            ms += later;
            let _ = bench.outgoing.play(injection, None, now);
            let header = RtpHeader { ssrc, ..header(8, sequence, timestamp) };
            let passage = bench.outgoing.on_packet(&header, sequence % 3 == 0, &[1, 10, 1, 0], bench.at(ms));
            match passage {
                Passage::Numbered(number) if sequence % 2 == 0 => bench.outgoing.went(&header, number),
                Passage::Numbered(_) => bench.outgoing.skip(&header),
                _ => {}
            }
            let mut polls = 0;
            while bench.outgoing.due().is_some_and(|due| due <= bench.at(ms)) && polls < 1000 {
                let _ = bench.outgoing.poll(bench.at(ms));
                polls += 1;
            }
            proptest::prop_assert!(polls < 1000);
        }
    }
}
