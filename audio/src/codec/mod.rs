//! The codecs: what is computed here, and one door to all of them.

pub mod cn;
pub mod g711;
pub mod g722;
pub mod g726;
pub mod l16;

use crate::catalogue::CodecId;
use crate::format::Format;

/// Why a codec does not do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// A library reports an error of its own.
    #[error("the codec's library reports {0}")]
    Library(i32),
    /// The payload has a length or a form that the codec does not have.
    #[error("no payload of the codec has {0} bytes like these")]
    Payload(usize),
    /// Nothing here converts the codec.
    #[error("the codec is not supported")]
    Unsupported,
}

/// What an encoder is asked for beside its format.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncoderOptions {
    /// Bit rate in bit/s.
    pub bit_rate: Option<u32>,
    /// Options as `name=value`, separated by `;`, `,` or blanks.
    pub options: String,
    /// Clock of the samples that come in, for codecs that have several; in Hz.
    pub source_rate: u32,
}

/// Turns payloads of one codec into samples.
#[derive(Debug)]
pub enum Decoder {
    /// G.711.
    G711(g711::Law),
    /// G.722.
    G722(Box<g722::Decoder>),
    /// G.726.
    G726(Box<g726::Decoder>),
    /// Linear samples.
    L16,
}

impl Decoder {
    /// A decoder of a format.
    pub fn new(format: &Format) -> Result<Self, CodecError> {
        use CodecId::{G722, L16, Pcma, Pcmu, XL16};
        match format.id() {
            Some(Pcma) => Ok(Self::G711(g711::Law::A)),
            Some(Pcmu) => Ok(Self::G711(g711::Law::Mu)),
            Some(G722) => Ok(Self::G722(Box::default())),
            Some(L16 | XL16) => Ok(Self::L16),
            Some(id) => {
                let (rate, packing) = g726_of(id).ok_or(CodecError::Unsupported)?;
                Ok(Self::G726(Box::new(g726::Decoder::new(rate, packing))))
            }
            None => Err(CodecError::Unsupported),
        }
    }

    /// Appends the samples of a payload, channels interleaved.
    pub fn decode(&mut self, payload: &[u8], samples: &mut Vec<i16>) -> Result<(), CodecError> {
        match self {
            Self::G711(law) => law.decode(payload, samples),
            Self::G722(decoder) => decoder.decode(payload, samples),
            Self::G726(decoder) => decoder.decode(payload, samples),
            Self::L16 => l16::decode(payload, samples),
        }
        Ok(())
    }
}

/// Turns samples into payloads of one codec.
#[derive(Debug)]
pub enum Encoder {
    /// G.711.
    G711(g711::Law),
    /// G.722.
    G722(Box<g722::Encoder>),
    /// G.726.
    G726(Box<g726::Encoder>),
    /// Linear samples.
    L16,
}

impl Encoder {
    /// An encoder for a format.
    pub fn new(format: &Format, _options: &EncoderOptions) -> Result<Self, CodecError> {
        use CodecId::{G722, L16, Pcma, Pcmu, XL16};
        match format.id() {
            Some(Pcma) => Ok(Self::G711(g711::Law::A)),
            Some(Pcmu) => Ok(Self::G711(g711::Law::Mu)),
            Some(G722) => Ok(Self::G722(Box::default())),
            Some(L16 | XL16) => Ok(Self::L16),
            Some(id) => {
                let (rate, packing) = g726_of(id).ok_or(CodecError::Unsupported)?;
                Ok(Self::G726(Box::new(g726::Encoder::new(rate, packing))))
            }
            None => Err(CodecError::Unsupported),
        }
    }

    /// Appends the payload of one packet's samples, channels interleaved.
    pub fn encode(&mut self, samples: &[i16], payload: &mut Vec<u8>) -> Result<(), CodecError> {
        match self {
            Self::G711(law) => law.encode(samples, payload),
            Self::G722(encoder) => encoder.encode(samples, payload),
            Self::G726(encoder) => encoder.encode(samples, payload),
            Self::L16 => l16::encode(samples, payload),
        }
        Ok(())
    }
}

fn g726_of(id: CodecId) -> Option<(g726::Rate, g726::Packing)> {
    use g726::{Packing, Rate};
    Some(match id {
        CodecId::G726At16 => (Rate::Two, Packing::Rtp),
        CodecId::G726At24 => (Rate::Three, Packing::Rtp),
        CodecId::G726At32 => (Rate::Four, Packing::Rtp),
        CodecId::G726At40 => (Rate::Five, Packing::Rtp),
        CodecId::Aal2G726At16 => (Rate::Two, Packing::Aal2),
        CodecId::Aal2G726At24 => (Rate::Three, Packing::Aal2),
        CodecId::Aal2G726At32 => (Rate::Four, Packing::Aal2),
        CodecId::Aal2G726At40 => (Rate::Five, Packing::Aal2),
        _ => return None,
    })
}
