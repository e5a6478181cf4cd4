//! The codecs: what is computed here, and one door to all of them.

pub mod amr;
pub mod cn;
pub mod g711;
pub mod g722;
pub mod g726;
pub mod l16;

use crate::catalogue::CodecId;
use crate::format::Format;
use crate::library::{self, Libraries};

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
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EncoderOptions {
    /// Bit rate in bit/s.
    pub bit_rate: Option<u32>,
    /// Options as `name=value`, separated by `;`, `,` or blanks.
    pub options: String,
}

impl EncoderOptions {
    /// The value of an option.
    fn option(&self, name: &str) -> Option<&str> {
        let mut words = self.options.split([';', ',', ' ']).map(str::trim);
        words.find_map(|word| {
            let (known, value) = word.split_once('=')?;
            known.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// The samples that a decoder gives or an encoder takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Samples {
    /// Clock in Hz.
    pub rate: u32,
    /// Channels, interleaved.
    pub channels: u8,
}

/// Turns payloads of one codec into samples.
#[derive(Debug)]
pub struct Decoder(Decoding);

#[derive(Debug)]
enum Decoding {
    Amr(Box<amr::Decoder>),
    G711(g711::Law),
    G722(Box<g722::Decoder>),
    G726(Box<g726::Decoder>),
    G729(library::G729Decoder),
    Gsm(library::GsmDecoder),
    L16,
    Opus(library::OpusDecoder),
    Speex(library::SpeexDecoder),
}

impl Decoder {
    /// A decoder of a format. Opus gives the samples that are asked for; of other codecs they are
    /// those that [`crate::catalogue`] says.
    pub fn new(
        format: &Format,
        samples: Samples,
        libraries: &Libraries,
    ) -> Result<Self, CodecError> {
        let id = format.id().ok_or(CodecError::Unsupported)?;
        let none = CodecError::Unsupported;
        let Samples { rate, channels } = samples;
        let decoding = match id {
            CodecId::Pcma => Decoding::G711(g711::Law::A),
            CodecId::Pcmu => Decoding::G711(g711::Law::Mu),
            CodecId::G722 => Decoding::G722(Box::default()),
            CodecId::L16 | CodecId::XL16 => Decoding::L16,
            CodecId::Opus => {
                let api = libraries.opus.as_ref().ok_or(none)?;
                Decoding::Opus(library::OpusDecoder::new(api, rate, channels)?)
            }
            CodecId::Amr | CodecId::AmrWb => {
                Decoding::Amr(Box::new(amr::Decoder::new(id, &format.fmtp, libraries)?))
            }
            CodecId::G729 | CodecId::G729a => {
                let api = libraries.g729.as_ref().ok_or(none)?;
                Decoding::G729(library::G729Decoder::new(api)?)
            }
            CodecId::Gsm => {
                let api = libraries.gsm.as_ref().ok_or(none)?;
                Decoding::Gsm(library::GsmDecoder::new(api)?)
            }
            CodecId::Speex => {
                let api = libraries.speex.as_ref().ok_or(none)?;
                Decoding::Speex(library::SpeexDecoder::new(api, format.clock)?)
            }
            id => {
                let (rate, packing) = g726_of(id).ok_or(none)?;
                Decoding::G726(Box::new(g726::Decoder::new(rate, packing)))
            }
        };
        Ok(Self(decoding))
    }

    /// Appends the samples of a payload, channels interleaved.
    pub fn decode(&mut self, payload: &[u8], samples: &mut Vec<i16>) -> Result<(), CodecError> {
        match &mut self.0 {
            Decoding::Amr(decoder) => return decoder.decode(payload, samples),
            Decoding::G711(law) => law.decode(payload, samples),
            Decoding::G722(decoder) => decoder.decode(payload, samples),
            Decoding::G726(decoder) => decoder.decode(payload, samples),
            Decoding::G729(decoder) => return decoder.decode(payload, samples),
            Decoding::Gsm(decoder) => return decoder.decode(payload, samples),
            Decoding::L16 => l16::decode(payload, samples),
            Decoding::Opus(decoder) => return decoder.decode(payload, samples),
            Decoding::Speex(decoder) => return decoder.decode(payload, samples),
        }
        Ok(())
    }

    /// The mode that the last payload asked the other direction for (RFC 4867 §4.3.1), if it did.
    pub fn requested_mode(&self) -> Option<u8> {
        match &self.0 {
            Decoding::Amr(decoder) => decoder.requested_mode(),
            _ => None,
        }
    }
}

/// Turns samples into payloads of one codec.
#[derive(Debug)]
pub struct Encoder(Encoding);

#[derive(Debug)]
enum Encoding {
    Amr(Box<amr::Encoder>),
    G711(g711::Law),
    G722(Box<g722::Encoder>),
    G726(Box<g726::Encoder>),
    G729(library::G729Encoder),
    Gsm(library::GsmEncoder),
    L16,
    Opus(library::OpusEncoder),
    Speex(library::SpeexEncoder),
}

impl Encoder {
    /// An encoder for a format. Opus takes the samples that are named; of other codecs they are
    /// those that [`crate::catalogue`] says.
    pub fn new(
        format: &Format,
        samples: Samples,
        options: &EncoderOptions,
        libraries: &Libraries,
    ) -> Result<Self, CodecError> {
        let id = format.id().ok_or(CodecError::Unsupported)?;
        let none = CodecError::Unsupported;
        let encoding = match id {
            CodecId::Pcma => Encoding::G711(g711::Law::A),
            CodecId::Pcmu => Encoding::G711(g711::Law::Mu),
            CodecId::G722 => Encoding::G722(Box::default()),
            CodecId::L16 | CodecId::XL16 => Encoding::L16,
            CodecId::Opus => {
                let api = libraries.opus.as_ref().ok_or(none)?;
                let settings = opus_settings(samples, options);
                Encoding::Opus(library::OpusEncoder::new(api, settings)?)
            }
            CodecId::Amr | CodecId::AmrWb => {
                let bit_rate = options.bit_rate;
                let encoder = amr::Encoder::new(id, &format.fmtp, bit_rate, libraries)?;
                Encoding::Amr(Box::new(encoder))
            }
            CodecId::G729 | CodecId::G729a => {
                let api = libraries.g729.as_ref().ok_or(none)?;
                Encoding::G729(library::G729Encoder::new(api)?)
            }
            CodecId::Gsm => {
                let api = libraries.gsm.as_ref().ok_or(none)?;
                Encoding::Gsm(library::GsmEncoder::new(api)?)
            }
            CodecId::Speex => {
                let api = libraries.speex.as_ref().ok_or(none)?;
                Encoding::Speex(library::SpeexEncoder::new(api, format.clock)?)
            }
            id => {
                let (rate, packing) = g726_of(id).ok_or(none)?;
                Encoding::G726(Box::new(g726::Encoder::new(rate, packing)))
            }
        };
        Ok(Self(encoding))
    }

    /// Appends the payload of one packet's samples, channels interleaved.
    pub fn encode(&mut self, samples: &[i16], payload: &mut Vec<u8>) -> Result<(), CodecError> {
        match &mut self.0 {
            Encoding::Amr(encoder) => return encoder.encode(samples, payload),
            Encoding::G711(law) => law.encode(samples, payload),
            Encoding::G722(encoder) => encoder.encode(samples, payload),
            Encoding::G726(encoder) => encoder.encode(samples, payload),
            Encoding::G729(encoder) => encoder.encode(samples, payload),
            Encoding::Gsm(encoder) => encoder.encode(samples, payload),
            Encoding::L16 => l16::encode(samples, payload),
            Encoding::Opus(encoder) => return encoder.encode(samples, payload),
            Encoding::Speex(encoder) => return encoder.encode(samples, payload),
        }
        Ok(())
    }

    /// Takes in the mode that the other direction asked for.
    pub fn request_mode(&mut self, mode: u8) {
        if let Encoding::Amr(encoder) = &mut self.0 {
            encoder.request_mode(mode);
        }
    }
}

fn opus_settings(samples: Samples, options: &EncoderOptions) -> library::OpusSettings {
    use library::OpusApplication as Application;
    let complexity = options.option("compression_level");
    library::OpusSettings {
        rate: samples.rate,
        channels: samples.channels,
        bit_rate: options.bit_rate.unwrap_or(OPUS_BIT_RATE),
        complexity: complexity
            .and_then(|level| level.parse().ok())
            .unwrap_or(10),
        application: match options.option("application") {
            Some("audio") => Application::Audio,
            Some("lowdelay") => Application::LowDelay,
            _ => Application::Voip,
        },
    }
}

/// What the reference encodes Opus with unless it is told otherwise, in bit/s.
const OPUS_BIT_RATE: u32 = 32_000;

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
