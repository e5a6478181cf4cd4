//! RTCP of our own (media-behaviour §8, `generate-RTCP`).

use super::ng_05_commands::{FROM, TO, flow_of};
use super::*;
use crate::flow::Carries;

fn passes_reports(flow: &FlowSpec) -> bool {
    let mut sinks = flow.sinks.iter();
    sinks.any(|sink| sink.carries != Carries::Rtp)
}

/// The flow that hears the reports of a party.
fn rtcp_flow_of(bench: &Bench, rtp: &FlowSpec) -> FlowSpec {
    let flows = bench.books.flows.lock().unwrap();
    let mut flows = flows.values().map(|(flow, _)| flow);
    let sibling = |flow: &&FlowSpec| flow.rtp_sibling == Some(rtp.local);
    flows.find(sibling).unwrap().clone()
}

fn media_flags(bench: &mut Bench) -> String {
    let query = Dict::new().with("command", "query").with("call-id", "call");
    String::from_utf8_lossy(&bench.ask(query).to_bencode()).into_owned()
}

#[test]
fn an_offer_asks_for_reports_of_our_own_on_both_legs() {
    let mut bench = Bench::new();
    let sdp = audio("198.51.100.10", 2000, "a=mid:a1\n");
    bench.sdp(offer(&sdp).with("flags", strings(&["generate-RTCP"])));
    let muxed = audio("198.51.100.20", 3000, "a=mid:a1\n");
    bench.sdp(answer(&muxed));
    for party in [FROM, TO] {
        let flow = flow_of(&bench, party);
        let rtcp = rtcp_flow_of(&bench, &flow);
        let reports = flow.reports.as_deref().unwrap();
        assert_eq!(
            (reports.via, reports.mid.as_deref()),
            (rtcp.local, Some("a1"))
        );
        assert!(rtcp.reports.is_none());
        assert!(!passes_reports(&flow) && !passes_reports(&rtcp));
    }
    assert!(media_flags(&mut bench).contains("RTCP generator"));

    // A later offer that does not speak of it leaves it as it is.
    bench.sdp(offer(&sdp).with("to-tag", "T"));
    assert!(flow_of(&bench, TO).reports.is_some());
    bench.sdp(offer(&sdp).with("to-tag", "T").with("generate-RTCP", "off"));
    for party in [FROM, TO] {
        let flow = flow_of(&bench, party);
        assert!(flow.reports.is_none() && passes_reports(&flow));
    }
    assert!(!media_flags(&mut bench).contains("RTCP generator"));
}

#[test]
fn reports_leave_from_the_port_that_muxes() {
    let mut bench = Bench::new();
    let mux = |host: &str, port| audio(host, port, "a=rtcp-mux\n");
    bench.sdp(offer(&mux("198.51.100.10", 2000)).with("generate-RTCP", "on"));
    bench.sdp(answer(&mux("198.51.100.20", 3000)));
    for party in [FROM, TO] {
        let flow = flow_of(&bench, party);
        assert_eq!(flow.reports.as_deref().unwrap().via, flow.local);
    }
}

#[test]
fn a_secure_party_gets_reports_of_ours_as_well() {
    let secure = |host: &str, port| {
        let crypto =
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\n";
        audio(host, port, crypto).replace("RTP/AVP", "RTP/SAVP")
    };
    let mut bench = Bench::new();
    bench.sdp(offer(&secure("198.51.100.10", 2000)).with("generate-RTCP", "on"));
    bench.sdp(answer(&secure("198.51.100.20", 3000)));
    let flow = flow_of(&bench, FROM);
    assert!(flow.reports.is_some() && !passes_reports(&flow));
}
