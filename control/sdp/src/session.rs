//! The session level of a received SDP.

use std::net::IpAddr;

use crate::attribute::{Bandwidth, Direction, Origin};
use crate::media::MediaDescription;
use crate::{ParseError, ParseOptions, Text, parse};

/// A received SDP (RFC 8866), typed as far as a relay needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionDescription {
    /// `o=` of the first session part; absent in fragments.
    pub origin: Option<Origin>,
    /// `s=`.
    pub name: Text,
    /// `i=`.
    pub info: Option<Text>,
    /// `u=`.
    pub uri: Option<Text>,
    /// `e=`.
    pub email: Option<Text>,
    /// `p=`.
    pub phone: Option<Text>,
    /// `b=` of the known types.
    pub bandwidth: Bandwidth,
    /// `t=`.
    pub timing: Option<Text>,
    /// Address of the session's `c=`.
    pub connection: Option<IpAddr>,
    /// Direction for medias without their own.
    pub direction: Option<Direction>,
    /// Attributes that are carried at session level: everything behind `a=`, in order.
    pub attributes: Vec<Text>,
    /// Session attributes that a media inherits when it has none of that name: keying and ICE,
    /// everything behind `a=`.
    pub inherited: Vec<Text>,
    /// Value of `a=rtpengine:` of each session part (loop protection).
    pub loop_ids: Vec<Option<Text>>,
    /// m= lines in order.
    pub media: Vec<MediaDescription>,
}

impl SessionDescription {
    /// Reads an SDP.
    ///
    /// # Errors
    /// [`ParseError`] names line and reason.
    pub fn parse(text: &[u8], options: ParseOptions) -> Result<Self, ParseError> {
        parse::parse(text, options)
    }

    /// The address that a media is to be sent to: its own `c=`, else the session's.
    pub fn address_of(&self, media: &MediaDescription) -> Option<IpAddr> {
        media.connection.or(self.connection)
    }

    /// The direction of a media: its own, else the session's, else both ways.
    pub fn direction_of(&self, media: &MediaDescription) -> Direction {
        media.direction.or(self.direction).unwrap_or_default()
    }
}
