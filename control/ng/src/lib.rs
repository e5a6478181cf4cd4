//! The ng control protocol: codec, typed requests and replies, server transports, client.
#![forbid(unsafe_code)]
