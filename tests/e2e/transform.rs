//! Media that another engine sends here and wants elsewhere (`transform`).

use std::net::SocketAddr;

use windlass_ng::{Dict, Value};

use crate::common::phone::Phone;
use crate::common::process::Relay;

#[test]
fn media_of_another_engine_goes_on_to_its_destination() {
    let relay = Relay::start("");
    let (mut from, to) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let destination = Dict::new()
        .with("family", "IP4")
        .with("address", to.address().ip())
        .with("port", to.address().port());
    let media = Dict::new()
        .with("id", "a")
        .with("type", "audio")
        .with("destination", destination);
    let request = Dict::new()
        .with("command", "transform")
        .with("media", Value::List(vec![media.into()]));
    let reply = relay.ask(request).unwrap();
    let places = reply.get("media").and_then(Value::as_list).unwrap();
    let place = places[0].as_dict().unwrap();
    let address = place.get_str("address").unwrap().parse().unwrap();
    let port = place.get("port").and_then(Value::as_int).unwrap();
    let shown = SocketAddr::new(address, u16::try_from(port).unwrap());
    from.speak(shown, 20);
    assert_eq!(to.hear(20), 20);
    let delete = Dict::new()
        .with("command", "delete")
        .with("call-id", reply.get_str("call-id").unwrap().to_owned())
        .with("delete-delay", 0);
    relay.ask(delete).unwrap();
    assert_eq!(relay.leased_ports(), 0);
}
