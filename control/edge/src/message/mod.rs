//! SIP messages as spans over the bytes they came in.

pub(crate) mod limits;
