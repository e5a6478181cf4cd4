//! What becomes of each payload type of one direction.

use super::Support;
use crate::fmtp;
use crate::format::Format;

/// A payload type of a party, and what its packets are turned into.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// As the sender describes it.
    pub from: Format,
    /// What happens.
    pub treatment: Treatment,
}

/// What happens to the packets of a payload type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Treatment {
    /// Audio is decoded and encoded as this.
    Convert(Format),
    /// Nothing of it reaches the other party.
    Drop,
    /// Events or noise of this clock and number: their payload is scaled, not decoded.
    Rescale(Format),
    /// The packet passes as it is, under this number.
    Pass(u8),
    /// Events or noise become sound in this codec.
    Sound(Format),
}

/// The routes of a direction: from each codec that the sender may use to what the receiver has.
/// With `force`, equal codecs are converted as well.
pub fn routes(
    sender: &[Format],
    receiver: &[Format],
    force: bool,
    support: &Support,
) -> Vec<Route> {
    let mut audio = receiver.iter().filter(|format| !format.is_supplemental());
    let main = audio.find(|format| support.converts(format));
    let is_transcoding = sender
        .iter()
        .filter(|from| !from.is_supplemental())
        .any(|from| counterpart(from, receiver).is_none());
    // Events that only one of the two has are found in the sound, or put into it.
    let has_events = |list: &[Format]| list.iter().any(Format::is_event);
    let needs_audio = force || has_events(sender) != has_events(receiver);
    let route = |from: &Format| {
        let treatment = if from.is_supplemental() {
            let sound = main.filter(|_| is_transcoding || needs_audio);
            supplemental(from, receiver, main, sound)
        } else {
            match counterpart(from, receiver) {
                Some(to) if !needs_audio || !support.converts(to) => {
                    Treatment::Pass(to.payload_type)
                }
                Some(to) => Treatment::Convert(to.clone()),
                None => match main.filter(|_| support.converts(from)) {
                    Some(to) => Treatment::Convert(to.clone()),
                    None => Treatment::Pass(from.payload_type),
                },
            }
        };
        Route {
            from: from.clone(),
            treatment,
        }
    };
    sender.iter().map(route).collect()
}

/// The receiver's own name for a codec of the sender, by number first.
fn counterpart<'a>(from: &Format, receiver: &'a [Format]) -> Option<&'a Format> {
    let same = |to: &&Format| fmtp::answers(to, from) || fmtp::answers(from, to);
    let by_number = receiver
        .iter()
        .filter(|to| to.payload_type == from.payload_type);
    by_number.chain(receiver).find(same)
}

fn supplemental(
    from: &Format,
    receiver: &[Format],
    main: Option<&Format>,
    sound: Option<&Format>,
) -> Treatment {
    let kind = || receiver.iter().filter(|to| to.id() == from.id());
    let of_clock = |clock: u32| kind().find(|to| to.clock == clock);
    // The clock of the audio that goes beside it, else the sender's own.
    let to = main
        .and_then(|main| of_clock(main.clock))
        .or_else(|| of_clock(from.clock))
        .or_else(|| kind().next());
    match (to, sound) {
        (Some(to), _) if to.clock == from.clock => Treatment::Pass(to.payload_type),
        (Some(to), _) => Treatment::Rescale(to.clone()),
        (None, Some(sound)) => Treatment::Sound(sound.clone()),
        (None, None) => Treatment::Drop,
    }
}
