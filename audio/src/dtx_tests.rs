use super::*;

struct Line {
    dtx: Dtx,
    begin: Instant,
}

thread_local! {
    #[expect(clippy::disallowed_methods, reason = "a moment to count from; time is virtual")]
    static START: Instant = Instant::now();
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl Line {
    fn new() -> Self {
        Self::with(ms(50), 10, ms(100), ms(1))
    }

    fn with(delay: Duration, buffer: usize, lag: Duration, shift: Duration) -> Self {
        let settings = DtxSettings {
            delay,
            longest: Some(ms(1000)),
            buffer,
            lag,
            shift,
            clock: 8000,
            ptime: ms(20),
        };
        Self {
            dtx: Dtx::new(settings),
            begin: START.with(|start| *start),
        }
    }

    fn push(&mut self, at_ms: u64, number: u16) -> bool {
        self.push_ts(at_ms, number, u32::from(number) * 160)
    }

    fn push_ts(&mut self, at_ms: u64, number: u16, timestamp: u32) -> bool {
        let header = Header {
            payload_type: 8,
            sequence: number,
            timestamp,
            ssrc: 1,
            marker: false,
        };
        self.dtx
            .push(self.begin + ms(at_ms), header, &number.to_be_bytes())
    }

    /// What comes until then: packets by number, `-` for what is filled.
    fn poll(&mut self, until_ms: u64) -> String {
        let mut told = String::new();
        while let Some(tick) = self.dtx.poll(self.begin + ms(until_ms)) {
            told.push_str(&match tick {
                Tick::Packet(header, payload) => {
                    assert_eq!(payload, header.sequence.to_be_bytes());
                    header.sequence.to_string()
                }
                Tick::Fill(ticks) => {
                    assert_eq!(ticks, 160);
                    "-".to_owned()
                }
            });
        }
        told
    }
}

#[test]
fn packets_leave_after_the_delay_and_in_order() {
    let mut line = Line::new();
    line.push(0, 0);
    assert_eq!(line.poll(49), "");
    assert_eq!(line.dtx.next_at(), Some(line.begin + ms(50)));
    line.push(25, 2);
    line.push(45, 1);
    assert_eq!(line.poll(50), "0");
    assert_eq!(line.poll(90), "12");
}

#[test]
fn what_is_not_there_in_time_is_filled_and_too_late_then() {
    let mut line = Line::with(ms(50), 10, ms(100), Duration::ZERO);
    line.push(0, 0);
    line.push(40, 2);
    assert_eq!(line.poll(90), "0-2");
    assert!(!line.push(91, 1));
    line.push(95, 3);
    assert_eq!(line.poll(110), "3");
}

#[test]
fn silence_is_filled_until_its_end() {
    let mut line = Line::with(ms(50), 10, ms(100), Duration::ZERO);
    line.push(0, 0);
    assert_eq!(line.poll(500), format!("0{}", "-".repeat(22)));
    // The sender speaks again; its clock went on.
    line.push_ts(505, 1, 25 * 160);
    assert_eq!(line.poll(550), "--1");
    // And is silent for good: a second after the last packet it ends.
    let told: String = (550..3000).map(|ms| line.poll(ms)).collect();
    assert_eq!(told.len(), 50, "{told}");
    assert_eq!(line.dtx.next_at(), None);
    line.push_ts(20_000, 2, 9_000_000);
    assert_eq!(line.poll(20_050), "2");
}

#[test]
fn a_jump_beyond_the_longest_is_not_filled() {
    let mut line = Line::new();
    line.push(0, 0);
    assert_eq!(line.poll(50), "0");
    line.push_ts(60, 1, 1_000_000);
    assert_eq!(line.poll(110), "1");
}

#[test]
fn too_much_that_waits_makes_the_timer_faster() {
    let mut line = Line::with(ms(50), 3, ms(60), ms(5));
    for number in 0..10 {
        line.push(0, number);
    }
    assert_eq!(line.poll(50), "0");
    assert_eq!(line.dtx.next_at(), Some(line.begin + ms(65)));
    assert_eq!(line.poll(65), "1");
}

#[test]
fn without_a_shift_what_is_too_much_is_dropped() {
    let mut line = Line::with(ms(50), 3, ms(60), Duration::ZERO);
    for number in 0..10 {
        line.push(0, number);
    }
    assert_eq!(line.poll(50), "6");
    assert_eq!(line.poll(110), "789");
}

#[test]
fn another_length_of_packets_is_learned() {
    let mut line = Line::new();
    line.push_ts(0, 0, 0);
    line.push_ts(30, 1, 240);
    assert_eq!(line.poll(50), "0");
    assert_eq!(line.dtx.next_at(), Some(line.begin + ms(80)));
}

#[test]
fn what_waits_is_bounded() {
    let mut line = Line::new();
    let taken = (0..5000_u16)
        .filter(|number| line.push_ts(0, *number, u32::from(*number)))
        .count();
    assert!(taken <= MAX_DTX_PACKETS);
}

#[test]
fn a_sender_does_not_set_the_timer_to_its_ticks() {
    let mut line = Line::new();
    for number in 0..20 {
        line.push_ts(0, number, u32::from(number));
    }
    line.poll(50);
    assert_eq!(line.dtx.next_at(), Some(line.begin + ms(70)));
}

#[test]
fn a_timer_that_was_late_does_not_make_up_for_everything() {
    let settings = DtxSettings {
        longest: None,
        ..Line::new().dtx.settings
    };
    let mut line = Line::new();
    line.dtx = Dtx::new(settings);
    line.push(0, 0);
    assert_eq!(line.poll(60_000), "0");
}
