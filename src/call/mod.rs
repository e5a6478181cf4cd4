//! What should happen: calls, legs, medias, offer/answer and ports. Sans-IO.

pub mod ports;
