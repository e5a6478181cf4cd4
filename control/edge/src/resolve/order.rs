//! The order of SRV and NAPTR records.

use rand::Rng;

use super::{Naptr, Srv};

/// SRV records in the order in which they are tried: by priority, and among equals at random in
/// proportion to their weights (RFC 2782, "Usage rules").
pub(super) fn by_weight<'a>(records: &'a [Srv], rng: &mut impl Rng) -> Vec<&'a Srv> {
    let mut left: Vec<&Srv> = records.iter().collect();
    // Zero weights stand first, so that each of them has a small chance.
    left.sort_by_key(|srv| (srv.priority, srv.weight));
    let mut ordered = Vec::with_capacity(left.len());
    while let Some(priority) = left.first().map(|srv| srv.priority) {
        let equals = left.partition_point(|srv| srv.priority == priority);
        let candidates = || left.iter().take(equals);
        let total: u32 = candidates().map(|srv| u32::from(srv.weight)).sum();
        let drawn = rng.random_range(0..=total);
        let mut sum = 0;
        let chosen = candidates().position(|srv| {
            sum += u32::from(srv.weight);
            sum >= drawn
        });
        ordered.push(left.remove(chosen.unwrap_or_default()));
    }
    ordered
}

/// NAPTR records that name an SRV record, of the lowest order with such a record, by preference
/// (RFC 3403 §4.1: other orders are not looked at once one fits).
pub(super) fn by_preference(records: &[Naptr], fits: impl Fn(&Naptr) -> bool) -> Vec<&Naptr> {
    let mut fitting: Vec<&Naptr> = records
        .iter()
        .filter(|naptr| naptr.flags.eq_ignore_ascii_case(b"s") && fits(naptr))
        .collect();
    fitting.sort_by_key(|naptr| (naptr.order, naptr.preference));
    if let Some(order) = fitting.first().map(|naptr| naptr.order) {
        fitting.retain(|naptr| naptr.order == order);
    }
    fitting
}
