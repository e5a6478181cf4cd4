//! Decisions of signalling: calls, legs, medias, offer/answer and ports. Sans-IO: no socket, clock
//! or thread; the data plane is reached through [`Forwarding`] alone.

mod agents;
mod commands;
mod conversion;
mod debug;
mod delete;
mod digits;
mod ended;
mod exchange;
mod final_stats;
mod flows;
mod fragment;
mod identity;
mod listing;
mod model;
mod news;
mod offer;
mod picture;
mod plan;
pub mod ports;
mod print;
mod query;
mod serve;
mod settings;
mod standby;
mod statistics;
mod table;
mod timeouts;
mod turn;
mod view;
mod voiced;
mod voip;
mod vsc;
mod watched;

pub use digits::DigitSource;
pub use ended::{EndedCall, Observer};
pub use exchange::AudioDefaults;
pub use final_stats::Marks;
pub use flows::{Defaults, SsrcReporting};
pub use identity::Identity;
pub use model::call::Now;
pub use model::leg::Muted;
pub use picture::{CallPicture, MediaPicture, OfferPicture, PartyPicture, PortPicture};
pub use serve::{Calls, Forwarding, Loss, RecordedSdp, Recorder};
pub use settings::Limits;
pub use standby::Whose;
pub use statistics::Statistics;
pub use timeouts::{EndReason, Timeouts};
pub use view::{CallSummary, CallView, MediaView, PartyKind, PartyView, StreamView};
pub use voip::{FamilyCounts, Measure};

#[cfg(test)]
pub(crate) mod tests;
