use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;

const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";

const RFC5769_2_1: &str = "
    00010058 2112a442 b7e7a701 bc34d686 fa87dfae
    80220010 5354554e 20746573 7420636c 69656e74
    00240004 6e0001ff
    80290008 932ff9b1 51263b36
    00060009 6576746a 3a683676 59202020
    00080014 9aeaa70c bfd8cb56 781ef2b5 b2d3f249 c1b571a2
    80280004 e57a3bcf";
const RFC5769_2_2: &str = "
    0101003c 2112a442 b7e7a701 bc34d686 fa87dfae
    8022000b 74657374 20766563 746f7220
    00200008 0001a147 e112a643
    00080014 2b91f599 fd9e90c3 8c7489f9 2af9ba53 f06be7d7
    80280004 c07d4c96";
const RFC5769_2_3: &str = "
    01010048 2112a442 b7e7a701 bc34d686 fa87dfae
    8022000b 74657374 20766563 746f7220
    00200014 0002a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9
    00080014 a382954e 4be67bf1 1784c97c 8292c275 bfe3ed41
    80280004 c8fb0b4c";
const RFC5769_2_4: &str = "
    00010060 2112a442 78ad3433 c6ad72c0 29da412e
    00060012 e3839ee3 8388e383 aae38383 e382afe3 82b90000
    0015001c 662f2f34 39396b39 35346436 4f4c3334 6f4c3946 53547679 36347341
    0014000b 6578616d 706c652e 6f726700
    00080014 f6702465 6dd64a3e 02b8e071 2e85c9a2 8ca89666";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn transaction() -> TransactionId {
    TransactionId(hex("b7e7a701bc34d686fa87dfae").try_into().unwrap())
}

#[test]
fn rfc5769_2_1_request() {
    let bytes = hex(RFC5769_2_1);
    assert!(is_stun(&bytes));
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.class(), Class::Request);
    assert_eq!(message.transaction(), transaction());
    assert_eq!(message.username(), Some(&b"evtj:h6vY"[..]));
    assert_eq!(message.software(), Some(&b"STUN test client"[..]));
    assert_eq!(message.priority(), Some(0x6e00_01ff));
    assert_eq!(message.tie(), Some(Tie::Controlled(0x932f_f9b1_5126_3b36)));
    assert!(!message.uses_candidate());
    assert_eq!(message.fingerprint(), Fingerprint::Right);
    assert!(message.is_authentic(&IntegrityKey::new(PASSWORD)));
    assert!(!message.is_authentic(&IntegrityKey::new(b"another")));
}

#[test]
fn rfc5769_2_2_ipv4_response() {
    let bytes = hex(RFC5769_2_2);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.class(), Class::Success);
    assert_eq!(message.mapped(), Some("192.0.2.1:32853".parse().unwrap()));
    assert_eq!(message.fingerprint(), Fingerprint::Right);
    assert!(message.is_authentic(&IntegrityKey::new(PASSWORD)));
}

#[test]
fn rfc5769_2_3_ipv6_response() {
    let bytes = hex(RFC5769_2_3);
    let message = Message::parse(&bytes).unwrap();
    let mapped = "[2001:db8:1234:5678:11:2233:4455:6677]:32853";
    assert_eq!(message.mapped(), Some(mapped.parse().unwrap()));
    assert_eq!(message.fingerprint(), Fingerprint::Right);
    assert!(message.is_authentic(&IntegrityKey::new(PASSWORD)));
}

#[test]
fn rfc5769_2_4_long_term_key() {
    let bytes = hex(RFC5769_2_4);
    let message = Message::parse(&bytes).unwrap();
    // MD5 of user, realm and password with colons between.
    let key = IntegrityKey::new(&hex("e8ca7ad59d5eb0518e312911d2dab2a9"));
    assert_eq!(message.fingerprint(), Fingerprint::Absent);
    assert!(message.is_authentic(&key));
    assert_eq!(message.unknown().as_slice(), [0x0015, 0x0014]);
}

#[test]
fn what_is_written_equals_the_vector_but_for_the_padding() {
    let mut buffer = [0; 128];
    let mut writer = Writer::new(&mut buffer, Class::Success, transaction()).unwrap();
    writer.software("test vector").unwrap();
    writer.mapped("192.0.2.1:32853".parse().unwrap()).unwrap();
    let len = writer.finish();
    let mut expected = hex(RFC5769_2_2)[..len].to_vec();
    expected[2..4].copy_from_slice(&[0, 28]);
    expected[35] = 0;
    assert_eq!(buffer[..len], expected);
}

#[test]
fn a_key_longer_than_a_block_is_hashed() {
    let password = "k".repeat(80);
    let mut buffer = [0; 64];
    let mut writer = Writer::new(&mut buffer, Class::Request, transaction()).unwrap();
    let key = IntegrityKey::new(password.as_bytes());
    writer.integrity(&key).unwrap();
    let len = writer.finish();
    let theirs = stun_types::message::Message::from_bytes(&buffer[..len]).unwrap();
    let credentials = stun_types::message::ShortTermCredentials::new(password);
    assert!(theirs.validate_integrity(&credentials.into()).is_ok());
}

#[test]
fn one_wrong_bit_anywhere_is_noticed() {
    let bytes = hex(RFC5769_2_1);
    let key = IntegrityKey::new(PASSWORD);
    for at in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[at / 8] ^= 1 << (at % 8);
        let passes = Message::parse(&bytes).is_ok_and(|message| {
            message.fingerprint() == Fingerprint::Right && message.is_authentic(&key)
        });
        assert!(!passes, "bit {at}");
    }
}

#[test]
fn each_way_of_being_malformed_has_its_error() {
    let good = hex(RFC5769_2_1);
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        Message::parse(&bytes).err()
    };
    assert_eq!(with(&|_| {}), None);
    assert_eq!(
        with(&|bytes| bytes.truncate(19)),
        Some(StunError::Truncated(19))
    );
    assert_eq!(with(&|bytes| bytes[0] = 0x80), Some(StunError::NotStun));
    assert_eq!(with(&|bytes| bytes[4] = 0), Some(StunError::NotStun));
    let length = StunError::Length {
        said: 0x58,
        there: 0x59,
    };
    assert_eq!(with(&|bytes| bytes.push(0)), Some(length));
    assert_eq!(with(&|bytes| bytes[1] = 3), Some(StunError::Method(3)));
    let priority = Some(StunError::Attribute(0x0024));
    assert_eq!(with(&|bytes| bytes[43] = 3), priority);
    assert_eq!(with(&|bytes| bytes[42] = 4), priority);
    let after = with(&|bytes| {
        bytes.extend([0x80, 0x22, 0, 0]);
        bytes[3] += 4;
    });
    assert_eq!(after, Some(StunError::AfterFingerprint));
}

#[test]
fn attributes_after_the_integrity_do_not_count() {
    let key = IntegrityKey::new(PASSWORD);
    let mut buffer = [0; 128];
    let mut writer = Writer::new(&mut buffer, Class::Request, transaction()).unwrap();
    writer.priority(1).unwrap().integrity(&key).unwrap();
    writer.use_candidate().unwrap().priority(2).unwrap();
    writer.fingerprint().unwrap();
    let len = writer.finish();
    let message = Message::parse(&buffer[..len]).unwrap();
    assert!(message.is_authentic(&key));
    assert_eq!(message.fingerprint(), Fingerprint::Right);
    assert!(!message.uses_candidate());
    assert_eq!(message.priority(), Some(1));
}

#[test]
fn unknown_attributes_are_named_once_and_few() {
    let mut bytes = hex("00010000 2112a442 b7e7a701 bc34d686 fa87dfae");
    for kind in [0x7001_u16, 0x7001, 0x9001, 0x7002, 0x7003, 0x7004, 0x7005] {
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 0]);
    }
    bytes[3] = 28;
    let message = Message::parse(&bytes).unwrap();
    let unknown = message.unknown();
    assert_eq!(unknown.as_slice(), [0x7001, 0x7002, 0x7003, 0x7004]);
}

#[test]
fn an_error_is_read_as_written() {
    let mut buffer = [0; 64];
    let mut writer = Writer::new(&mut buffer, Class::Error, transaction()).unwrap();
    writer.error(487, "Role conflict").unwrap();
    writer.unknown_attributes(&[0x7001]).unwrap();
    let len = writer.finish();
    let message = Message::parse(&buffer[..len]).unwrap();
    assert_eq!(message.class(), Class::Error);
    let expected = ErrorCode {
        code: 487,
        reason: b"Role conflict",
    };
    assert_eq!(message.error(), Some(expected));
}

#[test]
fn a_message_that_does_not_fit_is_refused() {
    let key = IntegrityKey::new(PASSWORD);
    for room in 0..64 {
        let mut buffer = vec![0; room];
        let written = Writer::new(&mut buffer, Class::Request, transaction()).and_then(|mut w| {
            w.username("abcd", "efgh")?.integrity(&key)?.fingerprint()?;
            Ok(w.finish())
        });
        assert_eq!(written, Err(Full), "{room} bytes");
    }
}

/// What both codecs have to agree on.
#[derive(Debug, PartialEq)]
struct Seen {
    class: Class,
    username: Option<String>,
    priority: Option<u32>,
    mapped: Option<SocketAddr>,
    error: Option<u16>,
    uses_candidate: bool,
    is_authentic: bool,
}

fn ours(bytes: &[u8]) -> Option<Seen> {
    let message = Message::parse(bytes).ok()?;
    if message.fingerprint() == Fingerprint::Wrong {
        return None;
    }
    Some(Seen {
        class: message.class(),
        username: message
            .username()
            .map(|name| String::from_utf8_lossy(name).into_owned()),
        priority: message.priority(),
        mapped: message.mapped(),
        error: message.error().map(|error| error.code),
        uses_candidate: message.uses_candidate(),
        is_authentic: message.is_authentic(&IntegrityKey::new(PASSWORD)),
    })
}

fn theirs(bytes: &[u8]) -> Option<Seen> {
    use stun_types::attribute as a;
    use stun_types::message as m;

    let message = m::Message::from_bytes(bytes).ok()?;
    let class = match message.class() {
        m::MessageClass::Request => Class::Request,
        m::MessageClass::Indication => Class::Indication,
        m::MessageClass::Success => Class::Success,
        m::MessageClass::Error => Class::Error,
    };
    let password = String::from_utf8(PASSWORD.to_vec()).unwrap();
    let credentials = m::ShortTermCredentials::new(password);
    let transaction = message.transaction_id();
    Some(Seen {
        class,
        username: message
            .attribute::<a::Username>()
            .ok()
            .map(|name| name.username().to_owned()),
        priority: message
            .raw_attribute(a::AttributeType::new(0x0024))
            .map(|raw| u32::from_be_bytes(raw.value.as_ref().try_into().unwrap())),
        mapped: message
            .attribute::<a::XorMappedAddress>()
            .ok()
            .map(|mapped| mapped.addr(transaction)),
        error: message
            .attribute::<a::ErrorCode>()
            .ok()
            .map(|error| error.code()),
        uses_candidate: message
            .raw_attribute(a::AttributeType::new(0x0025))
            .is_some(),
        is_authentic: message.validate_integrity(&credentials.into()).is_ok(),
    })
}

#[test]
fn the_vectors_look_the_same_to_stun_types() {
    for vector in [RFC5769_2_1, RFC5769_2_2, RFC5769_2_3] {
        let bytes = hex(vector);
        let seen = ours(&bytes);
        assert!(seen.as_ref().is_some_and(|seen| seen.is_authentic));
        assert_eq!(seen, theirs(&bytes));
    }
}

fn address() -> impl Strategy<Value = SocketAddr> {
    any::<([u8; 16], u16, bool)>().prop_map(|(ip, port, is_v6)| match is_v6 {
        true => SocketAddr::new(ip.into(), port),
        false => SocketAddr::new([ip[0], ip[1], ip[2], ip[3]].into(), port),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_we_write_looks_the_same_to_stun_types(
        class in prop::sample::select(vec![
            Class::Request, Class::Indication, Class::Success, Class::Error,
        ]),
        transaction in any::<[u8; 12]>(),
        user in "[a-zA-Z0-9+/]{1,32}",
        priority in any::<Option<u32>>(),
        mapped in prop::option::of(address()),
        error in prop::option::of(300_u16..=699),
        nominates in any::<bool>(),
    ) {
        let mut buffer = [0; 512];
        let transaction = TransactionId(transaction);
        let mut writer = Writer::new(&mut buffer, class, transaction).unwrap();
        writer.username(&user, "peer").unwrap();
        if let Some(priority) = priority {
            writer.priority(priority).unwrap();
        }
        if let Some(mapped) = mapped {
            writer.mapped(mapped).unwrap();
        }
        if let Some(error) = error {
            writer.error(error, "reason").unwrap();
        }
        if nominates {
            writer.use_candidate().unwrap();
        }
        writer.integrity(&IntegrityKey::new(PASSWORD)).unwrap();
        writer.fingerprint().unwrap();
        let len = writer.finish();
        let expected = Seen {
            class,
            username: Some(format!("{user}:peer")),
            priority,
            mapped,
            error,
            uses_candidate: nominates,
            is_authentic: true,
        };
        prop_assert_eq!(&ours(&buffer[..len]), &Some(expected));
        prop_assert_eq!(ours(&buffer[..len]), theirs(&buffer[..len]));
    }

    #[test]
    fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), tame in any::<bool>()) {
        if tame && bytes.len() >= 20 {
            let length = u16::try_from(bytes.len() - 20).unwrap();
            bytes[..2].copy_from_slice(&[0, 1]);
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            bytes[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
        }
        if let Ok(message) = Message::parse(&bytes) {
            message.fingerprint();
            message.is_authentic(&IntegrityKey::new(PASSWORD));
        }
    }
}
