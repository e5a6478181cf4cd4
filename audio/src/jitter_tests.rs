use super::*;

struct Line {
    buffer: JitterBuffer,
    begin: Instant,
}

impl Line {
    fn new(packets: usize) -> Self {
        Self::with(JitterSettings {
            packets,
            clock: 8000,
            follow_drift: false,
            adaptive: None,
        })
    }

    fn with(settings: JitterSettings) -> Self {
        Self {
            buffer: JitterBuffer::new(settings),
            begin: START.with(|start| *start),
        }
    }

    /// Packet `number` of 20 ms arrives.
    fn push(&mut self, at_ms: u64, number: u16) -> Pushed {
        self.push_as(at_ms, number, 1, false)
    }

    fn push_as(&mut self, at_ms: u64, number: u16, ssrc: u32, marker: bool) -> Pushed {
        let header = Header {
            payload_type: 8,
            sequence: number,
            timestamp: u32::from(number) * 160,
            ssrc,
            marker,
        };
        let now = self.begin + Duration::from_millis(at_ms);
        self.buffer.push(now, header, &number.to_be_bytes(), false)
    }

    /// What is due, by number.
    fn poll(&mut self, at_ms: u64) -> Vec<u16> {
        let now = self.begin + Duration::from_millis(at_ms);
        let mut numbers = Vec::new();
        while let Some((header, payload)) = self.buffer.poll(now) {
            assert_eq!(payload, header.sequence.to_be_bytes());
            numbers.push(header.sequence);
        }
        numbers
    }

    fn next_ms(&self) -> Option<u128> {
        self.buffer
            .next_at()
            .map(|at| at.duration_since(self.begin).as_millis())
    }
}

thread_local! {
    #[expect(clippy::disallowed_methods, reason = "a moment to count from; time is virtual")]
    static START: Instant = Instant::now();
}

#[test]
fn without_jitter_nothing_waits() {
    let mut line = Line::new(10);
    for number in 0..50 {
        let at = u64::from(number) * 20;
        assert_eq!(line.push(at, number), Pushed::Queued);
        assert_eq!(line.poll(at), [number]);
    }
    assert_eq!(line.next_ms(), None);
}

#[test]
fn packets_of_a_burst_leave_at_their_pace() {
    let mut line = Line::new(10);
    for number in 0..4 {
        line.push(0, number);
    }
    assert_eq!(line.poll(0), [0]);
    assert_eq!(line.next_ms(), Some(20));
    assert!(line.poll(19).is_empty());
    assert_eq!(line.poll(40), [1, 2]);
    assert_eq!(line.poll(60), [3]);
}

#[test]
fn order_is_restored_and_what_has_been_passed_is_dropped() {
    let mut line = Line::new(10);
    line.push(0, 0);
    assert_eq!(line.poll(0), [0]);
    line.push(10, 3);
    line.push(12, 2);
    line.push(14, 1);
    assert_eq!(line.push(15, 2), Pushed::Late);
    assert_eq!(line.poll(20), [1]);
    assert_eq!(line.poll(60), [2, 3]);
    assert_eq!(line.push(61, 2), Pushed::Late);
}

#[test]
fn what_is_late_but_in_order_leaves_at_once() {
    let mut line = Line::new(10);
    line.push(0, 0);
    line.poll(0);
    line.push(35, 1);
    assert_eq!(line.poll(35), [1]);
}

#[test]
fn the_oldest_leaves_a_full_buffer() {
    let mut line = Line::new(3);
    for number in 0..6 {
        line.push(0, number);
    }
    assert_eq!(line.poll(0), [0, 1, 2]);
    assert_eq!(line.next_ms(), Some(60));
}

#[test]
fn a_marker_a_source_and_a_jump_let_everything_go() {
    for (number, ssrc, marker) in [(6, 1, true), (6, 2, false), (900, 1, false)] {
        let mut line = Line::new(10);
        for number in 0..4 {
            line.push(0, number);
        }
        line.push_as(1, number, ssrc, marker);
        assert_eq!(line.poll(1), [0, 1, 2, 3, number], "{number} {ssrc}");
        line.push_as(2, number + 1, ssrc, false);
        assert_eq!(line.next_ms(), Some(21));
    }
}

#[test]
fn a_drifting_clock_is_followed() {
    let run = |follow_drift| {
        let mut line = Line::with(JitterSettings {
            packets: 100,
            clock: 8000,
            follow_drift,
            adaptive: None,
        });
        // 21 ms for every 20: five per cent too slow.
        let mut last = 0;
        for number in 0..200_u16 {
            let at = u64::from(number) * 21;
            line.push(at, number);
            line.poll(at);
            last = at;
        }
        line.push(last, 200);
        line.next_ms().unwrap()
    };
    // Behind by 4 s of packets, the next one counts as late for ever; or is due nearly in time.
    assert_eq!(run(false), 4000);
    assert!((4040..=4200).contains(&run(true)), "{}", run(true));
}

#[test]
fn the_delay_follows_the_jitter_within_its_bounds() {
    let bounds = (Duration::from_millis(10), Duration::from_millis(60));
    let run = |jitter_ms: u64| {
        let mut line = Line::with(JitterSettings {
            packets: 100,
            clock: 8000,
            follow_drift: false,
            adaptive: Some(bounds),
        });
        for number in 0..60_u16 {
            let off = if number % 3 == 0 { jitter_ms } else { 0 };
            line.push(u64::from(number) * 20 + off, number);
        }
        line.buffer.delay()
    };
    assert_eq!(run(0), bounds.0);
    let some = run(10);
    assert!(
        some > Duration::from_millis(15) && some < bounds.1,
        "{some:?}"
    );
    assert_eq!(run(80), bounds.1);
}
