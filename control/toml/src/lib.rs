//! Configuration files: typed values out of TOML, and every mistake with its place.
//!
//! A [`Reader`] takes values out of a parsed table and goes on after a mistake, so that an operator
//! sees all of them at once. What values mean together is for the room that asks.
#![forbid(unsafe_code)]

mod problem;
mod reader;

pub use problem::{Place, Placed, Problem, Problems, nearest};
pub use reader::{Reader, Value, duration};
