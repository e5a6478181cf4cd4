//! Kernel flows: the programs against a plain reference, and real packets between namespaces.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![expect(clippy::indexing_slicing, reason = "a test ends at the first surprise")]

mod differential;
mod frame;
mod netns;
mod network;
mod offload;
mod reference;
mod srtp;
mod table;

use windlass_kernel_assist::flows::{Config, Flows, FlowsError};
use windlass_kernel_assist::rights;

/// `None` without the rights for it: said, and a failure in CI.
fn load(max_flows: u32) -> Option<Flows> {
    match Flows::load(Config {
        max_flows,
        srtp: false,
    }) {
        Ok(flows) => Some(flows),
        Err(error) => is_skipped(&error),
    }
}

/// Says that the rights are missing, which in CI is a failure as any other reason.
fn is_skipped(error: &FlowsError) -> Option<Flows> {
    let is_ci = std::env::var("CI").as_deref() == Ok("true");
    let missing = rights::missing();
    assert!(!missing.is_empty() && !is_ci, "{error:?}");
    println!("skipped, without {missing:?}: {error}");
    None
}
