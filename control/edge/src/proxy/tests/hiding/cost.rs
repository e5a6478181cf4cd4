//! What hiding costs a call (spec §23). Figures, not bounds: run them with `cargo test --release -p
//! windlass-edge cost -- --ignored --nocapture --test-threads 1`.

use nix::time::{ClockId, clock_gettime};

use super::*;

const CALLS: u32 = 2_000;

/// Time of this thread on a CPU so far.
fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
    u64::try_from(time.tv_sec() * 1_000_000_000 + time.tv_nsec()).unwrap()
}

/// Nanoseconds of the core for a message, and what left.
fn timed(world: &mut World, from: Agent, text: &str) -> (u64, Vec<Sent>) {
    let start = cpu_ns();
    world
        .proxy
        .handle_message(world.now, from.flow, text.as_bytes().into());
    let took = cpu_ns() - start;
    let sent = world.pull();
    world.sent.clear();
    (took, sent)
}

/// Nanoseconds of INVITE, 180, 200, ACK, BYE and 200.
fn call(world: &mut World, number: u32) -> u64 {
    let pbx_row = "Contact: <sip:100@10.0.0.21:5062>\r\nServer: PBX/1.0\r\n";
    let named = |text: String| {
        let text = text.replace("Call-ID: c1", &format!("Call-ID: {number}-c1@198.51.100.7"));
        text.replace("branch=z9hG4bK", &format!("branch=z9hG4bK{number}"))
    };
    let rows = "User-Agent: Phone/9\r\nAllow: INVITE, ACK, BYE, CANCEL\r\nSupported: timer\r\n";
    let mut all = 0;
    let mut say = |world: &mut World, from: Agent, text: &str| {
        let (took, sent) = timed(world, from, text);
        all += took;
        sent
    };
    let sent = say(world, phone(), &named(invite_with("", rows)));
    let invite = forwarded(&sent);
    for status in ["180 Ringing", "200 OK"] {
        let text = response(&invite, status, "b", pbx_row, "");
        let sent = say(world, pbx(), &text);
        if status == "180 Ringing" {
            continue;
        }
        let leg = Leg::of_caller(&sent[0]);
        let routes: String = leg
            .routes
            .iter()
            .map(|r| format!("Route: {r}\r\n"))
            .collect();
        for (cseq, method) in [(1, "ACK"), (2, "BYE")] {
            let text = request(
                &format!("{method} {}", leg.uri),
                &format!("198.51.100.7:5060;branch=z9hG4bK{method};rport"),
                ("a", "b"),
                &format!("{cseq} {method}"),
                &routes,
                "",
            );
            let sent = say(world, phone(), &named(text));
            if method == "BYE" {
                say(world, pbx(), &response(&sent[0], "200 OK", "b", "", ""));
            }
        }
    }
    all
}

#[test]
#[ignore = "measures, in release"]
fn cost_of_hiding_a_call() {
    let mut worlds = [
        hidden_of(|_| {}, |config| config.links.clear()),
        hidden(|hide| hide.call_id = false),
        hidden(|_| {}),
    ];
    let mut sums = [0; 3];
    for number in 0..CALLS {
        for (world, sum) in worlds.iter_mut().zip(&mut sums) {
            *sum += call(world, number);
            if number % 100 == 0 {
                world.pass(Duration::from_secs(40));
            }
        }
    }
    let names = ["a call", "a hidden call", "a call with a hidden Call-ID"];
    for (name, sum) in names.iter().zip(sums) {
        println!("{name}: {} ns", sum / u64::from(CALLS));
    }
}
