//! What stands between the running edge and screening (spec §12, §13), its security log (§16) and
//! its call records (§15): settings, the screen made of them, and the logs that are written.
//!
//! The core judges and asks for lines; the driver, which has a clock and files, writes them.

pub(crate) mod logs;
pub(crate) mod settings;
pub(crate) mod store;

pub(crate) use logs::{Alerted, Finished, Logs};
pub use settings::{
    AuthFailureLimits, CallLimit, CdrConfig, FingerprintConfig, FloodConfig, MethodPolicy,
    NumberCategory, NumberList, OnBanned, PeerConfig, RateLimit, ScreenConfig, SecurityLogConfig,
};
pub(crate) use store::Store;
