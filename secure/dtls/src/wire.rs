//! Records, handshake fragments and the ClientHello of DTLS 1.2 (RFC 6347 §4.1, §4.2), read from
//! bytes of anybody. Nothing here can fail after its check.

use std::ops::Range;

use crate::limits;

pub(crate) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;

pub(crate) const CLIENT_HELLO: u8 = 1;
pub(crate) const SERVER_HELLO: u8 = 2;
pub(crate) const HELLO_VERIFY_REQUEST: u8 = 3;
pub(crate) const CERTIFICATE: u8 = 11;
pub(crate) const SERVER_KEY_EXCHANGE: u8 = 12;
pub(crate) const CERTIFICATE_REQUEST: u8 = 13;
pub(crate) const SERVER_HELLO_DONE: u8 = 14;
pub(crate) const CERTIFICATE_VERIFY: u8 = 15;
pub(crate) const CLIENT_KEY_EXCHANGE: u8 = 16;
pub(crate) const FINISHED: u8 = 20;

pub(crate) const DTLS_1_0: u16 = 0xfeff;
pub(crate) const DTLS_1_2: u16 = 0xfefd;

pub(crate) const RECORD_HEADER: usize = 13;
pub(crate) const HANDSHAKE_HEADER: usize = 12;
/// Sequence numbers have 48 bits.
const SEQUENCE: u64 = (1 << 48) - 1;

const EXTENSION_USE_SRTP: u16 = 14;

/// Whether a datagram is DTLS by its first byte (RFC 7983 §7, RFC 5764 §5.1.2).
pub fn is_dtls(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(20..=63))
}

/// Whether a datagram begins with a ClientHello in the clear, or a piece of one. What it says was
/// not looked at.
pub fn is_client_hello(datagram: &[u8]) -> bool {
    let Some(Ok(record)) = Records::new(datagram).next() else {
        return false;
    };
    record.kind == HANDSHAKE && record.epoch == 0 && record.body.first() == Some(&CLIENT_HELLO)
}

/// Bytes that cannot be what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Takes from the front what is there.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A big-endian number of up to 8 bytes.
    fn number(&mut self, len: usize) -> Result<u64, Malformed> {
        let bytes = self.take(len)?;
        Ok(bytes.iter().fold(0, |n, byte| (n << 8) | u64::from(*byte)))
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.number(1)?.try_into().map_err(|_| Malformed)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        self.number(2)?.try_into().map_err(|_| Malformed)
    }

    fn u24(&mut self) -> Result<u32, Malformed> {
        self.number(3)?.try_into().map_err(|_| Malformed)
    }

    /// A vector with a length in front of `prefix` bytes.
    fn vector(&mut self, prefix: usize) -> Result<&'a [u8], Malformed> {
        let len = self.number(prefix)?;
        self.take(usize::try_from(len).map_err(|_| Malformed)?)
    }

    fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Malformed)
        }
    }
}

/// A record (RFC 6347 §4.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) kind: u8,
    pub(crate) epoch: u16,
    pub(crate) sequence: u64,
    pub(crate) body: &'a [u8],
    /// Header and body.
    pub(crate) bytes: &'a [u8],
}

/// The records of a datagram. Ends after the first that is malformed.
pub(crate) struct Records<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Records<'a> {
    pub(crate) fn new(datagram: &'a [u8]) -> Self {
        Self {
            rest: datagram,
            left: limits::RECORDS,
        }
    }

    fn read(&mut self) -> Result<Record<'a>, Malformed> {
        let mut reader = Reader(self.rest);
        let kind = reader.u8()?;
        let version = reader.u16()?;
        let epoch = reader.u16()?;
        let sequence = reader.number(6)?;
        let body = reader.vector(2)?;
        if !matches!(version, DTLS_1_0 | DTLS_1_2) || body.is_empty() || self.left == 0 {
            return Err(Malformed);
        }
        self.left -= 1;
        let bytes = self.rest.get(..RECORD_HEADER + body.len());
        self.rest = reader.0;
        Ok(Record {
            kind,
            epoch,
            sequence,
            body,
            bytes: bytes.ok_or(Malformed)?,
        })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = self.read();
        if record.is_err() {
            self.rest = &[];
        }
        Some(record)
    }
}

/// Number of a record within its epoch; 0 of what is none.
pub(crate) fn sequence(record: &[u8]) -> u64 {
    let first = Records::new(record).next();
    first.map_or(0, |record| record.map_or(0, |record| record.sequence))
}

/// Writes a record.
pub(crate) fn record(kind: u8, version: u16, epoch: u16, sequence: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(RECORD_HEADER + body.len());
    bytes.push(kind);
    bytes.extend(version.to_be_bytes());
    // Epoch and sequence number are one number of 64 bits.
    let number = (u64::from(epoch) << 48) | (sequence & SEQUENCE);
    bytes.extend(number.to_be_bytes());
    // Bodies are a message of ours, or one that was bounded on its way in.
    debug_assert!(body.len() <= usize::from(u16::MAX));
    bytes.extend(u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// A piece of a handshake message (RFC 6347 §4.2.2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fragment<'a> {
    pub(crate) kind: u8,
    /// Bytes of the whole message.
    pub(crate) length: usize,
    /// Number of the message.
    pub(crate) message: u16,
    pub(crate) offset: usize,
    pub(crate) body: &'a [u8],
}

/// The fragments of a handshake record. Ends after the first that is malformed.
pub(crate) struct Fragments<'a>(&'a [u8]);

impl<'a> Fragments<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self(body)
    }

    fn read(&mut self) -> Result<Fragment<'a>, Malformed> {
        let mut reader = Reader(self.0);
        let kind = reader.u8()?;
        let length = usize::try_from(reader.u24()?).map_err(|_| Malformed)?;
        let message = reader.u16()?;
        let offset = usize::try_from(reader.u24()?).map_err(|_| Malformed)?;
        let body = reader.vector(3)?;
        if offset + body.len() > length {
            return Err(Malformed);
        }
        self.0 = reader.0;
        Ok(Fragment {
            kind,
            length,
            message,
            offset,
            body,
        })
    }
}

impl<'a> Iterator for Fragments<'a> {
    type Item = Result<Fragment<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let fragment = self.read();
        if fragment.is_err() {
            self.0 = &[];
        }
        Some(fragment)
    }
}

/// Writes a handshake message that is not fragmented: what is hashed and signed.
pub(crate) fn message(kind: u8, number: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
    let [_, length @ ..] = length;
    let mut bytes = Vec::with_capacity(HANDSHAKE_HEADER + body.len());
    bytes.push(kind);
    bytes.extend(length);
    bytes.extend(number.to_be_bytes());
    bytes.extend([0; 3]);
    bytes.extend(length);
    bytes.extend(body);
    bytes
}

/// A ClientHello (RFC 5246 §7.4.1.2, RFC 6347 §4.2.1), all of its lengths checked.
#[derive(Clone, Debug)]
pub(crate) struct ClientHello<'a> {
    body: &'a [u8],
    cookie_at: Range<usize>,
    pub(crate) version: u16,
    pub(crate) random: &'a [u8],
    pub(crate) session_id: &'a [u8],
    pub(crate) cookie: &'a [u8],
    cipher_suites: &'a [u8],
    compressions: &'a [u8],
    profiles: &'a [u8],
}

impl<'a> ClientHello<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(body);
        let version = reader.u16()?;
        let random = reader.take(32)?;
        let session_id = reader.vector(1)?;
        let cookie_at = body.len() - reader.0.len();
        let cookie = reader.vector(1)?;
        let cookie_at = cookie_at..cookie_at + 1 + cookie.len();
        let cipher_suites = reader.vector(2)?;
        let compressions = reader.vector(1)?;
        let mut extensions = Reader(reader.vector(2)?);
        reader.end()?;
        let mut profiles: &[u8] = &[];
        while !extensions.0.is_empty() {
            let kind = extensions.u16()?;
            let mut content = Reader(extensions.vector(2)?);
            if kind == EXTENSION_USE_SRTP {
                profiles = content.vector(2)?;
                let _mki = content.vector(1)?;
                content.end()?;
            }
        }
        Ok(Self {
            body,
            cookie_at,
            version,
            random,
            session_id,
            cookie,
            cipher_suites,
            compressions,
            profiles,
        })
    }

    pub(crate) fn offers_suite(&self, suite: u16) -> bool {
        numbers(self.cipher_suites).any(|offered| offered == suite)
    }

    pub(crate) fn offers_profile(&self, profile: u16) -> bool {
        numbers(self.profiles).any(|offered| offered == profile)
    }

    /// Compression 0, which everybody has to offer, is the only one.
    pub(crate) fn offers_no_compression(&self) -> bool {
        self.compressions.contains(&0)
    }

    /// The body as it was before a cookie was asked for.
    pub(crate) fn without_cookie(&self) -> Vec<u8> {
        let before = self.body.get(..self.cookie_at.start).unwrap_or_default();
        let after = self.body.get(self.cookie_at.end..).unwrap_or_default();
        [before, &[0], after].concat()
    }
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes
        .chunks_exact(2)
        .map(|pair| pair.iter().fold(0, |n, byte| (n << 8) | u16::from(*byte)))
}

/// The first certificate of a Certificate message (RFC 5246 §7.4.2), which is the peer's own;
/// [`None`] if it sent an empty list.
pub(crate) fn first_certificate(body: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    let mut reader = Reader(body);
    let mut list = Reader(reader.vector(3)?);
    reader.end()?;
    let mut first = None;
    while !list.0.is_empty() {
        let certificate = list.vector(3)?;
        first = first.or(Some(certificate));
    }
    Ok(first)
}

/// The suite of a ServerHello, and whether all of its lengths are right (RFC 5246 §7.4.1.3).
pub(crate) fn server_hello_suite(body: &[u8]) -> Result<u16, Malformed> {
    let mut reader = Reader(body);
    reader.u16()?;
    reader.take(32)?;
    reader.vector(1)?;
    let suite = reader.u16()?;
    reader.u8()?;
    let mut extensions = Reader(reader.vector(2)?);
    reader.end()?;
    while !extensions.0.is_empty() {
        extensions.u16()?;
        extensions.vector(2)?;
    }
    Ok(suite)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(cookie: &[u8], extensions: &[u8]) -> Vec<u8> {
        let mut body = vec![0xfe, 0xfd];
        body.extend([7; 32]);
        body.push(0);
        body.push(u8::try_from(cookie.len()).unwrap());
        body.extend(cookie);
        body.extend([0, 4, 0xc0, 0x2b, 0xc0, 0x2f]);
        body.extend([1, 0]);
        body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
        body.extend(extensions);
        body
    }

    const USE_SRTP: [u8; 11] = [0, 14, 0, 7, 0, 4, 0, 7, 0, 1, 0];

    #[test]
    fn client_hello_is_read() {
        let body = hello(b"cookie", &USE_SRTP);
        let hello_ = ClientHello::parse(&body).unwrap();
        assert_eq!(hello_.version, DTLS_1_2);
        assert_eq!(hello_.cookie, b"cookie");
        assert!(hello_.offers_suite(0xc02f) && !hello_.offers_suite(0xc030));
        assert!(hello_.offers_profile(7) && !hello_.offers_profile(8));
        assert_eq!(hello_.without_cookie(), hello(b"", &USE_SRTP));
    }

    #[test]
    fn client_hello_with_a_wrong_length_is_malformed() {
        let body = hello(b"cookie", &USE_SRTP);
        for len in 0..body.len() {
            assert_eq!(ClientHello::parse(&body[..len]).unwrap_err(), Malformed);
        }
        let longer = [body.as_slice(), &[0]].concat();
        assert_eq!(ClientHello::parse(&longer).unwrap_err(), Malformed);
        let mut odd = USE_SRTP;
        odd[5] = 5;
        assert_eq!(
            ClientHello::parse(&hello(b"", &odd)).unwrap_err(),
            Malformed
        );
    }

    #[test]
    fn demultiplexing_follows_rfc_7983() {
        assert!(is_dtls(&[20]) && is_dtls(&[63]));
        assert!(!is_dtls(&[19]) && !is_dtls(&[64]) && !is_dtls(&[]));
    }

    #[test]
    fn client_hello_is_told_from_other_datagrams() {
        let body = message(CLIENT_HELLO, 0, &hello(b"", &USE_SRTP));
        assert!(is_client_hello(&record(HANDSHAKE, DTLS_1_0, 0, 0, &body)));
        assert!(!is_client_hello(&record(HANDSHAKE, DTLS_1_2, 1, 0, &body)));
        assert!(!is_client_hello(&record(ALERT, DTLS_1_2, 0, 0, &body)));
        let other = message(SERVER_HELLO, 0, &[]);
        assert!(!is_client_hello(&record(HANDSHAKE, DTLS_1_2, 0, 0, &other)));
        assert!(!is_client_hello(&[22, 0xfe, 0xfd]));
    }

    #[test]
    fn record_is_written_and_read_back() {
        let bytes = record(HANDSHAKE, DTLS_1_2, 1, 0x0102_0304_0506, b"body");
        let read = Records::new(&bytes).next().unwrap().unwrap();
        assert_eq!((read.kind, read.epoch), (HANDSHAKE, 1));
        assert_eq!(read.sequence, 0x0102_0304_0506);
        assert_eq!((read.body, read.bytes), (b"body".as_slice(), &bytes[..]));
    }

    #[test]
    fn records_end_at_the_first_malformed_one() {
        let good = record(ALERT, DTLS_1_2, 0, 0, &[1, 0]);
        let datagram = [good.as_slice(), &[22, 3, 3, 0]].concat();
        let read: Vec<_> = Records::new(&datagram).map(|r| r.is_ok()).collect();
        assert_eq!(read, [true, false]);
        let many = good.repeat(limits::RECORDS + 5);
        assert_eq!(Records::new(&many).count(), limits::RECORDS + 1);
    }

    #[test]
    fn fragment_beyond_its_message_is_malformed() {
        let mut bytes = message(FINISHED, 3, b"twelve bytes");
        assert!(Fragments::new(&bytes).next().unwrap().is_ok());
        bytes[8] = 1; // offset
        assert!(Fragments::new(&bytes).next().unwrap().is_err());
    }

    #[test]
    fn first_certificate_of_a_list_is_taken() {
        let list = [0, 0, 9, 0, 0, 2, 1, 2, 0, 0, 1, 3];
        assert_eq!(first_certificate(&list), Ok(Some([1, 2].as_slice())));
        assert_eq!(first_certificate(&[0, 0, 0]), Ok(None));
        assert_eq!(first_certificate(&list[..8]), Err(Malformed));
    }
}
