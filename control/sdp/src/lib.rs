//! SDP as a relay needs it: model, parser, writer.
#![forbid(unsafe_code)]
