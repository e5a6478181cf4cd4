use super::*;
use crate::codec::EncoderOptions;
use crate::codec::g711::Law;
use crate::format::Format;
use crate::library::Libraries;
use crate::testing::signal;
use crate::wav::Audio;

thread_local! {
    #[expect(clippy::disallowed_methods, reason = "a moment to count from; time is virtual")]
    static START: Instant = Instant::now();
}

fn at(ms: u64) -> Instant {
    START.with(|start| *start) + Duration::from_millis(ms)
}

fn format(payload_type: u8, name: &str, clock: u32) -> Format {
    Format {
        payload_type,
        name: name.to_owned(),
        clock,
        channels: 1,
        fmtp: String::new(),
    }
}

fn encoded(audio: &Audio, from: usize, format: &Format) -> EncodedMedia {
    let options = EncoderOptions::default();
    EncodedMedia::encode(audio, from, format, 20, &options, &Libraries::default()).unwrap()
}

fn audio(samples: usize) -> Audio {
    Audio {
        rate: 8000,
        channels: 1,
        samples: signal(samples),
    }
}

/// 50 ms: three packets, the last one half silent.
fn short() -> Arc<EncodedMedia> {
    Arc::new(encoded(&audio(400), 0, &format(8, "PCMA", 8000)))
}

fn poll(player: &mut Player, ms: u64) -> Vec<String> {
    let mut out = Out::default();
    player.poll(at(ms), &mut out);
    let told = out.packets().map(|(header, payload)| {
        let marker = if header.marker { "M" } else { "" };
        format!(
            "{}@{}[{}]{marker}",
            header.sequence,
            header.timestamp,
            payload.len()
        )
    });
    told.collect()
}

#[test]
fn audio_is_encoded_once_for_all() {
    let source = audio(400);
    let media = encoded(&source, 0, &format(8, "PCMA", 8000));
    assert_eq!(
        (media.packets(), media.ticks, media.duration_ms),
        (3, 160, 50)
    );
    let mut expected = Vec::new();
    Law::A.encode(&source.samples, &mut expected);
    expected.resize(480, Law::A.silence());
    let payloads: Vec<u8> = (0..3)
        .flat_map(|at| media.payload(at).unwrap().to_vec())
        .collect();
    assert_eq!(payloads, expected);
    assert_eq!(media.payload(3), None);
    let later = encoded(&source, 160, &format(8, "PCMA", 8000));
    assert_eq!(later.payload(0), media.payload(1));
}

#[test]
fn audio_of_any_clock_and_channels_is_encoded_for_any_codec() {
    let stereo = Audio {
        rate: 44_100,
        channels: 2,
        samples: signal(88_200),
    };
    for (format, length, ticks) in [
        (format(0, "PCMU", 8000), 160, 160),
        (format(9, "G722", 8000), 160, 160),
        (format(96, "L16", 48_000), 1920, 960),
        (format(97, "G726-24", 8000), 60, 160),
    ] {
        let media = encoded(&stereo, 0, &format);
        assert_eq!(media.payload(5).unwrap().len(), length, "{format}");
        assert_eq!(
            (media.ticks, media.ptime_ms, media.source_samples),
            (ticks, 20, 882)
        );
        assert!((49..=50).contains(&media.packets()), "{}", media.packets());
    }
}

#[test]
fn nothing_and_what_no_codec_does_are_refused() {
    let options = EncoderOptions::default();
    let encode = |from, format: &Format| {
        let none = Libraries::default();
        EncodedMedia::encode(&audio(160), from, format, 20, &options, &none)
    };
    assert!(encode(160, &format(8, "PCMA", 8000)).is_err());
    assert!(encode(usize::MAX, &format(8, "PCMA", 8000)).is_err());
    assert!(encode(0, &format(18, "G729", 8000)).is_err());
}

#[test]
fn packets_leave_at_exact_distances_with_a_marker_first() {
    let mut player = Player::new(7, 65535, 1000);
    assert_eq!(player.next_at(), None);
    player.play(at(0), short(), Repeat::default());
    assert_eq!(player.next_at(), Some(at(0)));
    assert_eq!(poll(&mut player, 3), ["65535@1000[160]M"]);
    assert_eq!(player.next_at(), Some(at(20)));
    assert!(poll(&mut player, 19).is_empty());
    assert_eq!(poll(&mut player, 40), ["0@1160[160]", "1@1320[160]"]);
    assert!(!player.is_playing());
    assert_eq!(player.next_at(), None);
}

#[test]
fn the_next_playback_goes_on_after_the_time_that_has_passed() {
    let mut player = Player::new(7, 0, 0);
    player.play(at(0), short(), Repeat::default());
    assert_eq!(poll(&mut player, 40).len(), 3);
    player.play(at(1060), short(), Repeat::default());
    // 60 ms were played, a second was silent.
    assert_eq!(poll(&mut player, 1060), ["3@8480[160]M"]);
    // Again, in the middle of it.
    player.play(at(1080), short(), Repeat::default());
    assert_eq!(poll(&mut player, 1080), ["4@8640[160]M"]);
}

#[test]
fn rounds_follow_each_other_without_gap_or_marker() {
    let mut player = Player::new(7, 0, 0);
    let twice = Repeat {
        times: 2,
        duration: None,
    };
    player.play(at(0), short(), twice);
    let mut told = Vec::new();
    for ms in (0..200).step_by(20) {
        told.extend(poll(&mut player, ms));
    }
    assert_eq!(told.len(), 6);
    assert_eq!(told[3], "3@480[160]");
}

#[test]
fn rounds_are_counted_by_times_and_duration() {
    let second = Duration::from_secs(1);
    let rounds = |times, ms: Option<u64>| {
        let duration = ms.map(Duration::from_millis);
        Repeat { times, duration }.rounds(second)
    };
    assert_eq!(rounds(0, None), 1);
    assert_eq!(rounds(5, None), 5);
    assert_eq!(rounds(5, Some(1500)), 2);
    assert_eq!(rounds(1, Some(5000)), 1);
    assert_eq!(rounds(5, Some(0)), 1);
    assert_eq!(rounds(2, Some(60_000)), 2);
}

#[test]
fn a_late_timer_does_not_flood() {
    let mut player = Player::new(7, 0, 0);
    let often = Repeat {
        times: 1000,
        duration: None,
    };
    player.play(at(0), short(), often);
    assert_eq!(poll(&mut player, 60_000).len(), 4);
}

#[test]
fn the_position_is_told_in_samples_of_the_file() {
    let mut player = Player::new(7, 0, 0);
    let media = short();
    assert_eq!(player.position(&media), 0);
    player.play(at(0), media.clone(), Repeat::default());
    poll(&mut player, 20);
    player.stop();
    assert_eq!(player.position(&media), 320);
    player.play(at(20), media.clone(), Repeat::default());
    poll(&mut player, 100);
    assert_eq!(player.position(&media), 480);
}

#[test]
fn a_player_goes_on_in_another_process() {
    let mut player = Player::new(7, 0, 0);
    player.play(at(0), short(), Repeat::default());
    poll(&mut player, 0);
    let text = serde_json::to_string(&player.save()).unwrap();
    let state = serde_json::from_str(&text).unwrap();
    let mut other = Player::restore(state, Some((short(), Repeat::default())), at(500));
    assert_eq!(poll(&mut other, 500), ["1@160[160]"]);
    assert_eq!(poll(&mut other, 520), ["2@320[160]"]);
    assert!(!other.is_playing());
}
