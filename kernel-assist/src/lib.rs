//! The kernel side of a flow.
#![forbid(unsafe_code)]
