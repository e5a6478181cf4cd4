//! What the two say to each other: u32 length (big-endian, of kind and map), kind, CBOR map.
//!
//! Releases next to each other have to understand each other in both directions, so keys are never
//! used again and unknown ones are skipped.

use crate::cbor::{CborError, Field, MapWriter, fields};
use crate::limits;

/// Of a call what must not change: ports, destinations, suites, key fingerprints, tags. The engine
/// computes it.
pub type Digest = [u8; 32];

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The successor is there.
    Hello {
        /// Its version.
        version: String,
        /// Kinds of records with the lowest and highest format that it reads.
        formats: Vec<(u8, u8, u8)>,
        /// The layouts of steering table and flow map that it uses.
        layouts: (u64, u64),
    },
    /// What there is to take over. Several, if there are many descriptors.
    Here {
        /// The run-time directory.
        run_dir: String,
        /// Names of the descriptors that come with this frame.
        names: Vec<String>,
        /// The number of this frame, from 0.
        part: u64,
        /// More of these follow.
        has_more: bool,
    },
    /// The successor is not wanted.
    Refused {
        /// Why.
        reason: String,
    },
    /// Digests of some calls, before `Ready`.
    Digests {
        /// Numbers of calls with their digests.
        calls: Vec<(u64, Digest)>,
    },
    /// All calls are restored and all plans computed.
    Ready {
        /// How many.
        calls: u64,
    },
    /// The old one stands still: go on.
    Go {
        /// The number of its last record.
        number: u64,
        /// The count of its epoch.
        epoch: u64,
        /// Cookies, replay windows, half-read requests: pieces of what the engine saved.
        piece: Vec<u8>,
        /// The number of this frame, from 0.
        part: u64,
        /// More of these follow.
        has_more: bool,
    },
    /// Every worker has turned, and a ping went through the command path.
    Alive,
    /// All is yours.
    Yours,
    /// The successor gives up.
    Failed {
        /// Why.
        reason: String,
    },
}

/// Bytes that are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// The body is no map of ours.
    #[error("{0}")]
    Body(#[from] CborError),
    /// Another kind than those above.
    #[error("kind {0}")]
    Kind(u8),
    /// Longer than a frame may be, or empty.
    #[error("a frame of {0} bytes, at most {max}", max = limits::FRAME_BYTES)]
    Size(usize),
}

impl Message {
    /// Appends the frame.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        out.push(self.kind());
        let mut map = MapWriter::new(out);
        match self {
            Self::Hello {
                version,
                formats,
                layouts,
            } => {
                let formats = formats
                    .iter()
                    .flat_map(|(kind, low, high)| [kind, low, high]);
                let formats: Vec<u64> = formats.map(|byte| u64::from(*byte)).collect();
                map.text(0, version).uints(1, formats.into_iter());
                map.uint(2, layouts.0).uint(3, layouts.1);
            }
            Self::Here {
                run_dir,
                names,
                part,
                has_more,
            } => {
                map.text(0, run_dir)
                    .list(1, names.iter().map(String::as_bytes));
                map.uint(2, u64::from(*has_more)).uint(3, *part);
            }
            Self::Refused { reason } | Self::Failed { reason } => _ = map.text(0, reason),
            Self::Digests { calls } => {
                map.uints(0, calls.iter().map(|(call, _)| *call));
                map.list(1, calls.iter().map(|(_, digest)| &digest[..]));
            }
            Self::Ready { calls } => _ = map.uint(0, *calls),
            Self::Go {
                number,
                epoch,
                piece,
                part,
                has_more,
            } => {
                map.uint(0, *number).uint(1, *epoch).bytes(2, piece);
                map.uint(3, u64::from(*has_more)).uint(4, *part);
            }
            Self::Alive | Self::Yours => {}
        }
        map.end();
        let len = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
        if let Some(prefix) = out.get_mut(start..start + 4) {
            prefix.copy_from_slice(&len.to_be_bytes());
        }
    }

    /// Reads a frame without its length.
    ///
    /// # Errors
    /// It is none.
    pub fn read(frame: &[u8]) -> Result<Self, MessageError> {
        let (kind, body) = frame.split_first().ok_or(MessageError::Size(0))?;
        let fields = fields(body)?;
        let field = |key: u64| {
            let value = fields.iter().find(|(at, _)| *at == key);
            value
                .map(|(key, value)| Field(*key, *value))
                .ok_or(CborError::Missing(key))
        };
        let text = |key| field(key)?.text().map(str::to_owned);
        let has_more = |key| Ok::<_, CborError>(field(key)?.uint::<u64>()? != 0);
        Ok(match kind {
            1 => Self::Hello {
                version: text(0)?,
                formats: formats(&field(1)?.uints()?)?,
                layouts: (field(2)?.uint()?, field(3)?.uint()?),
            },
            2 => {
                let names = field(1)?.list()?.into_iter();
                let names = names.map(|name| String::from_utf8(name.to_vec()));
                Self::Here {
                    run_dir: text(0)?,
                    names: names
                        .collect::<Result<_, _>>()
                        .map_err(|_| CborError::Field(1))?,
                    part: field(3)?.uint()?,
                    has_more: has_more(2)?,
                }
            }
            3 => Self::Refused { reason: text(0)? },
            4 => {
                let (numbers, digests) = (field(0)?.uints()?, field(1)?.list()?);
                if numbers.len() != digests.len() {
                    return Err(CborError::Field(1).into());
                }
                let calls = numbers.into_iter().zip(digests).map(|(number, digest)| {
                    let digest = digest.try_into().map_err(|_| CborError::Field(1))?;
                    Ok((number, digest))
                });
                Self::Digests {
                    calls: calls.collect::<Result<_, CborError>>()?,
                }
            }
            5 => Self::Ready {
                calls: field(0)?.uint()?,
            },
            6 => Self::Go {
                number: field(0)?.uint()?,
                epoch: field(1)?.uint()?,
                piece: field(2)?.bytes()?.to_vec(),
                part: field(4)?.uint()?,
                has_more: has_more(3)?,
            },
            7 => Self::Alive,
            8 => Self::Yours,
            9 => Self::Failed { reason: text(0)? },
            kind => return Err(MessageError::Kind(*kind)),
        })
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Hello { .. } => 1,
            Self::Here { .. } => 2,
            Self::Refused { .. } => 3,
            Self::Digests { .. } => 4,
            Self::Ready { .. } => 5,
            Self::Go { .. } => 6,
            Self::Alive => 7,
            Self::Yours => 8,
            Self::Failed { .. } => 9,
        }
    }
}

fn formats(numbers: &[u64]) -> Result<Vec<(u8, u8, u8)>, CborError> {
    let byte = |number: u64| u8::try_from(number).map_err(|_| CborError::Field(1));
    let triples = numbers.as_chunks::<3>().0.iter();
    let triples = triples.map(|[kind, low, high]| Ok((byte(*kind)?, byte(*low)?, byte(*high)?)));
    triples.collect()
}

/// Frames out of a stream of bytes.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    /// Bytes that arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message that is there as a whole.
    ///
    /// # Errors
    /// Bytes that are none; nothing can be read afterwards.
    pub fn next_message(&mut self) -> Result<Option<Message>, MessageError> {
        let Some((prefix, rest)) = self.buffer.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let len = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
        if len == 0 || len > limits::FRAME_BYTES {
            return Err(MessageError::Size(len));
        }
        let Some(frame) = rest.get(..len) else {
            return Ok(None);
        };
        let message = Message::read(frame)?;
        self.buffer.drain(..4 + len);
        Ok(Some(message))
    }
}
