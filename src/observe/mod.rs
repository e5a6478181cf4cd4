//! What the outside can see of the engine.

pub mod log;
