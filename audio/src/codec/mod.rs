//! The codecs that are computed here.

pub mod g711;
pub mod g722;
pub mod g726;
pub mod l16;
