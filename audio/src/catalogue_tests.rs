use super::*;

#[test]
fn every_codec_has_its_row() {
    for def in &CATALOGUE {
        assert_eq!(of(def.id).name, def.name);
        assert_eq!(by_name(&def.name.to_lowercase()).unwrap().id, def.id);
        assert!(def.has_clock(def.default_clock), "{}", def.name);
        assert!(def.has_channels(def.default_channels), "{}", def.name);
        assert_eq!(def.fit_ptime(def.default_ptime), def.default_ptime);
    }
    assert!(by_name("FOO").is_none());
}

#[test]
fn assigned_numbers_are_those_of_rfc_3551() {
    let names = [
        (0, "PCMU", 8000, 1),
        (3, "GSM", 8000, 1),
        (4, "G723", 8000, 1),
        (8, "PCMA", 8000, 1),
        (9, "G722", 8000, 1),
        (10, "L16", 44_100, 2),
        (11, "L16", 44_100, 1),
        (13, "CN", 8000, 1),
        (18, "G729", 8000, 1),
    ];
    for (number, name, clock, channels) in names {
        let (def, c, n) = by_static_type(number).unwrap();
        assert_eq!((def.name, c, n), (name, clock, channels));
    }
    assert!(by_static_type(96).is_none());
    let pcma = of(CodecId::Pcma);
    assert_eq!(pcma.static_type(16_000, 1), None);
    assert_eq!(of(CodecId::G729a).static_type(8000, 1), Some(18));
}

#[test]
fn packet_times_are_rounded_down_to_a_step() {
    for (codec, wanted, has) in [
        (CodecId::Pcma, 25, 25),
        (CodecId::G722, 25, 20),
        (CodecId::G722, 5, 10),
        (CodecId::Amr, 10, 20),
        (CodecId::Amr, 50, 40),
        (CodecId::Opus, 30, 20),
        (CodecId::Opus, 10, 10),
        (CodecId::Opus, 50, 40),
        (CodecId::Opus, 120, 60),
        (CodecId::G723, 20, 30),
    ] {
        assert_eq!(of(codec).fit_ptime(wanted), has, "{codec:?} {wanted}");
    }
}

#[test]
fn g722_has_twice_as_many_samples_as_its_clock_says() {
    assert_eq!(of(CodecId::G722).sample_rate(8000), 16_000);
    assert_eq!(of(CodecId::Pcma).sample_rate(8000), 8000);
}
