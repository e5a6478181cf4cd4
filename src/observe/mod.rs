//! What the outside can see of the engine.

pub mod cdr;
pub mod dtmf;
pub mod load;
pub mod log;
