//! Flows follow what agents find (spec: media-behaviour §2, §5, §6).

use super::ng_05_commands::flow_of;
use super::*;
use crate::flow::Component;
use crate::flow::agent::{AgentNumber, AgentSpec, Components, Found, Path};
use crate::flow::secure::{Protection, Security};
use windlass_ng::CallId;
use windlass_srtp::{Keys, Suite};

const PHONE: &str = "198.51.100.20:3000";

/// The offer of a browser with these credentials.
fn browser(ufrag: &str, more: &str) -> String {
    party(
        "198.51.100.10",
        &format!(
            "m=audio 2000 UDP/TLS/RTP/SAVPF 8\na=mid:a0\na=rtcp-mux\na=setup:actpass\n\
             a=fingerprint:sha-256 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:3E:4B:\
             65:2E:7D:46:3F:54:42:CD:54:F1\n\
             a=ice-ufrag:{ufrag}\na=ice-pwd:abcdefghijklmnopqrstuvwx\n\
             a=candidate:1 1 UDP 2130706431 198.51.100.10 2000 typ host\n\
             a=candidate:1 1 UDP 2130706175 2001:db8:9::1 2000 typ host\n\
             a=candidate:1 1 UDP 2130706001 127.0.0.1 2000 typ host\n{more}"
        ),
    )
}

fn offered(ufrag: &str, more: &str) -> Dict {
    offer(&browser(ufrag, more))
        .with("transport-protocol", "RTP/AVP")
        .with("ICE", "remove")
        .with("rtcp-mux", strings(&["demux"]))
}

/// A browser that talks to a phone.
fn talking() -> Bench {
    let mut bench = Bench::new();
    bench.sdp(offered("abcd", ""));
    bench.sdp(answer(&party("198.51.100.20", "m=audio 3000 RTP/AVP 8\n")));
    bench
}

fn agents(bench: &Bench) -> Vec<AgentSpec> {
    bench.books.agents.lock().unwrap().clone()
}

fn agent(bench: &Bench) -> AgentSpec {
    let [agent] = &agents(bench)[..] else {
        panic!("{:?}", agents(bench));
    };
    agent.clone()
}

fn found(bench: &mut Bench, agent: AgentNumber, found: Found) -> Option<CallId> {
    bench.calls.agent_found(1, agent, found, bench.now)
}

fn keys() -> Protection {
    let keys = |byte| Keys::new(Suite::AeadAes128Gcm, &[byte; 16], &[byte; 12]).unwrap();
    Protection::new(vec![keys(1)], keys(2)).unwrap()
}

/// The pair on our IPv6 address, and keys.
fn path_and_keys(agent: &AgentSpec) -> Found {
    let candidates = &agent.ice.as_ref().unwrap().candidates;
    let local = candidates
        .iter()
        .find(|candidate| candidate.address.is_ipv6());
    let (local, remote) = (
        local.unwrap().address,
        "[2001:db8:9::1]:2000".parse().unwrap(),
    );
    Found {
        paths: Components {
            rtp: Some(Path {
                local,
                remote,
                is_selected: true,
            }),
            rtcp: None,
        },
        sources: vec![(local, remote)],
        keys: Components {
            rtp: Some(keys()),
            rtcp: None,
        },
    }
}

#[test]
fn the_agent_is_as_signalling_says() {
    let mut bench = Bench::new();
    bench.sdp(offered("abcd", ""));
    let early = agent(&bench);
    // The browser cannot answer our checks before it has our answer.
    assert_eq!(early.ice.as_ref().unwrap().theirs, None);
    assert_eq!(early.dtls.as_ref().unwrap().role, None);
    bench.sdp(answer(&party("198.51.100.20", "m=audio 3000 RTP/AVP 8\n")));
    let agent = agent(&bench);
    assert_eq!(agent.number, early.number);
    let ice = agent.ice.as_ref().unwrap();
    assert_eq!(ice.theirs.as_ref().unwrap().credentials.ufrag(), "abcd");
    assert!(!ice.is_controlling && agent.mux);
    // Loopback is nowhere to send to.
    let remote: Vec<String> = ice
        .remote
        .iter()
        .map(|one| one.address.to_string())
        .collect();
    assert_eq!(remote, ["198.51.100.10:2000", "[2001:db8:9::1]:2000"]);
    let dtls = agent.dtls.as_ref().unwrap();
    assert_eq!(dtls.role, Some(windlass_dtls::Role::Active));
    assert_eq!(dtls.fingerprints.as_ref().map(Vec::len), Some(1));
    assert!(
        !format!("{agent:?}").contains("abcdefghijklmnopqrstuvwx"),
        "a secret"
    );
}

#[test]
fn all_certificates_and_rtcp_ports_of_a_party_are_the_agents() {
    let mut bench = Bench::new();
    let other = "a=fingerprint:sha-256 0A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:\
                 3E:4B:65:2E:7D:46:3F:54:42:CD:54:F1\n";
    let offer = browser("abcd", other).replace("a=rtcp-mux\n", "");
    bench.sdp(
        super::offer(&offer)
            .with("transport-protocol", "RTP/AVP")
            .with("ICE", "remove"),
    );
    bench.sdp(answer(&party("198.51.100.20", "m=audio 3000 RTP/AVP 8\n")));
    let agent = agent(&bench);
    let fingerprints = agent.dtls.unwrap().fingerprints.unwrap();
    let first = fingerprints.iter().map(|one| one.digest()[0]);
    assert_eq!(first.collect::<Vec<u8>>(), [0x0a, 0x4a]);
    // Of both families.
    let ice = agent.ice.unwrap();
    let of_rtcp = ice
        .candidates
        .iter()
        .filter(|candidate| candidate.component.id() == 2);
    let ports: Vec<_> = of_rtcp.map(|candidate| candidate.address).collect();
    assert_eq!((ports.len(), &ports), (2, &agent.rtcp_ports));
}

#[test]
fn nothing_passes_before_a_pair_and_keys_and_then_on_that_pair_alone() {
    let mut bench = talking();
    let agent = agent(&bench);
    let of_browser = |bench: &Bench| {
        let flows = bench.books.flows.lock().unwrap();
        let own = flows.values().map(|(flow, _)| flow.clone());
        let own: Vec<_> = own.filter(|flow| flow.agent.is_some()).collect();
        own
    };
    for flow in of_browser(&bench) {
        assert_eq!(flow.security, Security::Awaited);
        assert_eq!(flow.peer.validated.as_deref(), Some(&Default::default()));
        assert!(flow.agent.unwrap().hears_all);
    }
    let all = path_and_keys(&agent);
    let path = all.paths.rtp.unwrap();
    assert!(found(&mut bench, agent.number, all.clone()).is_some());
    for flow in of_browser(&bench) {
        let validated = flow.peer.validated.as_deref().unwrap();
        let is_its = flow.local == path.local;
        assert_eq!(validated.destination, is_its.then_some(path.remote));
        assert_eq!(validated.sources.len(), usize::from(is_its));
        assert_eq!(
            flow.security,
            Security::Keyed(all.keys.rtp.clone().unwrap())
        );
    }
    // The phone's media leaves on the pair, which is of the other family than the line prints.
    let phone = flow_of(&bench, PHONE);
    assert!(
        phone.sinks.iter().all(|sink| sink.via == path.local),
        "{:?}",
        phone.sinks
    );
    // Consent is gone.
    let lost = Found {
        paths: Components::default(),
        ..all
    };
    found(&mut bench, agent.number, lost);
    for flow in of_browser(&bench) {
        assert_eq!(flow.peer.validated.as_deref().unwrap().destination, None);
    }
}

#[test]
fn a_re_offer_goes_on_with_the_pair_and_the_keys() {
    let mut bench = talking();
    let before = agent(&bench);
    let all = path_and_keys(&before);
    found(&mut bench, before.number, all.clone());
    let held = |bench: &Bench| {
        let flows = bench.books.flows.lock().unwrap();
        let mut own = flows.values().filter(|(flow, _)| flow.agent.is_some());
        own.all(|(flow, _)| flow.security == Security::Keyed(all.keys.rtp.clone().unwrap()))
    };
    bench.sdp(offered("abcd", "a=sendonly\n"));
    assert!(held(&bench));
    bench.sdp(answer(&party(
        "198.51.100.20",
        "m=audio 3000 RTP/AVP 8\na=recvonly\n",
    )));
    assert!(held(&bench));
    assert_eq!(agent(&bench), before);
    // Restarted by the browser: nothing changes before the answer, and then both sides are new.
    bench.sdp(offered("efgh", ""));
    assert_eq!(agent(&bench), before);
    bench.sdp(answer(&party("198.51.100.20", "m=audio 3000 RTP/AVP 8\n")));
    let (after, ice) = (agent(&bench), |agent: &AgentSpec| {
        agent.ice.clone().unwrap()
    });
    assert_eq!(after.number, before.number);
    assert_ne!(ice(&after).ours, ice(&before).ours);
    assert_eq!(ice(&after).theirs.unwrap().credentials.ufrag(), "efgh");
    assert!(
        held(&bench),
        "the pair of before is good until there is another"
    );
}

#[test]
fn what_was_found_goes_with_a_party_into_another_call() {
    let mut bench = talking();
    let before = agent(&bench);
    let all = path_and_keys(&before);
    found(&mut bench, before.number, all);
    let other = |command: &'static str, tag: &'static str, host: &str| {
        Dict::new()
            .with("command", command)
            .with("call-id", "other")
            .with("from-tag", "C")
            .with("to-tag", tag)
            .with("sdp", audio(host, 5000, "").replace('\n', "\r\n"))
    };
    bench.ask(other("offer", "", "198.51.100.30"));
    bench.ask(other("answer", "D", "198.51.100.40"));
    let connect = Dict::new()
        .with("command", "connect")
        .with("call-id", "other")
        .with("from-tag", "C")
        .with("to-tag", "F")
        .with("to-call-id", "call");
    assert_eq!(said(&bench.ask(connect)), "ok");
    assert_eq!(agent(&bench).number, before.number);
    let flows = bench.books.flows.lock().unwrap();
    let mut own = flows.values().filter(|(flow, _)| flow.agent.is_some());
    assert!(own.all(|(flow, _)| matches!(flow.security, Security::Keyed(_))));
    drop(flows);
    let gone = found(&mut bench, AgentNumber::default(), Found::default());
    assert_eq!(gone, None, "nobody's agent");
}

#[test]
fn agents_end_with_their_reason() {
    let mut bench = talking();
    let number = agent(&bench).number;
    let all = path_and_keys(&agent(&bench));
    found(&mut bench, number, all);
    // The browser comes back as a plain phone.
    bench.sdp(offer(&party("198.51.100.10", "m=audio 2000 RTP/AVP 8\n")));
    bench.sdp(answer(&party("198.51.100.20", "m=audio 3000 RTP/AVP 8\n")));
    assert_eq!(agents(&bench), []);
    let flow = flow_of(&bench, "198.51.100.10:2000");
    assert_eq!(
        (flow.agent, flow.security, flow.peer.validated),
        (None, Security::Plain, None)
    );
    assert_eq!(flow.component, Component::Rtp);
    // What it said meanwhile means nothing.
    assert_eq!(found(&mut bench, number, Found::default()), None);
    let mut bench = talking();
    bench.ask(
        command("delete")
            .with("from-tag", "F")
            .with("delete-delay", 0),
    );
    assert_eq!(agents(&bench), []);
}

#[test]
fn candidates_that_trickle_in_are_added_and_media_goes_on() {
    let mut bench = talking();
    let before = agent(&bench);
    let all = path_and_keys(&before);
    found(&mut bench, before.number, all);
    let flows = bench.books.flows.lock().unwrap().len();
    let piece = "a=ice-ufrag:abcd\na=ice-pwd:abcdefghijklmnopqrstuvwx\nm=audio 9 RTP/AVP 0\na=mid:a0\n\
                 a=candidate:2 1 UDP 1694498815 198.51.100.77 4000 typ srflx raddr 0.0.0.0 rport 9\n";
    let fragment = offer(piece).with("flags", strings(&["fragment"]));
    assert_eq!(said(&bench.ask(fragment)), "ok");
    let after = agent(&bench);
    let remote = &after.ice.as_ref().unwrap().remote;
    assert_eq!(remote.len(), before.ice.unwrap().remote.len() + 1);
    let own = bench.books.flows.lock().unwrap();
    assert_eq!(own.len(), flows);
    let mut own = own.values().filter(|(flow, _)| flow.agent.is_some());
    assert!(own.all(|(flow, _)| matches!(flow.security, Security::Keyed(_))));
}

#[test]
fn lines_of_a_bundle_have_one_agent() {
    let mut bench = Bench::new();
    let video = "m=video 2002 UDP/TLS/RTP/SAVPF 96\na=mid:v0\na=rtcp-mux\na=setup:actpass\n\
        a=rtpmap:96 VP8/90000\n\
        a=fingerprint:sha-256 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:3E:4B:\
        65:2E:7D:46:3F:54:42:CD:54:F1\n\
        a=ice-ufrag:abcd\na=ice-pwd:abcdefghijklmnopqrstuvwx\n";
    let sdp = browser("abcd", video).replace("t=0 0\n", "t=0 0\na=group:BUNDLE a0 v0\n");
    let request = offer(&sdp)
        .with("transport-protocol", "RTP/AVP")
        .with("ICE", "remove")
        .with("BUNDLE", strings(&["accept"]))
        .with("rtcp-mux", strings(&["demux"]));
    bench.sdp(request);
    let lines = "m=audio 3000 RTP/AVP 8\nm=video 3002 RTP/AVP 96\na=rtpmap:96 VP8/90000\n";
    bench.sdp(answer(&party("198.51.100.20", lines)));
    let agent = agent(&bench);
    let all = path_and_keys(&agent);
    let path = all.paths.rtp.unwrap();
    found(&mut bench, agent.number, all);
    for phone in ["198.51.100.20:3000", "198.51.100.20:3002"] {
        let flow = flow_of(&bench, phone);
        assert!(
            flow.sinks.iter().all(|sink| sink.via == path.local),
            "{:?}",
            flow.sinks
        );
        assert_eq!(flow.security, Security::Plain);
    }
}

/// The address in `c=` is of one family, the pair of the other.
#[test]
fn media_goes_to_a_pair_of_the_other_family() {
    let mut bench = talking();
    let agent = agent(&bench);
    let by_ipv6 = path_and_keys(&agent);
    let path = by_ipv6.paths.rtp.unwrap();
    found(&mut bench, agent.number, by_ipv6);
    let flows = bench.books.flows.lock().unwrap();
    let (spec, _) = flows.get(&path.local).unwrap();
    assert!(spec.peer.wants, "nothing would be sent");
    let latch = crate::media::latch::Latch::new(spec.peer.clone());
    assert_eq!(latch.destination(), Some(path.remote));
}
