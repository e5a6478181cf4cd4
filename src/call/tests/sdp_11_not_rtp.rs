//! sdp-rewriting §11: medias that are no RTP, and transports that nobody knows.

use super::*;

fn medias(sdp: &str) -> String {
    let sdp = numbered(sdp);
    sdp[sdp.find("m=").unwrap()..].to_owned()
}

/// What both parties are shown of a media that both have.
fn relayed(lines: &str) -> (Bench, [String; 2]) {
    let mut bench = Bench::new();
    let offered = bench.sdp(offer(&party("198.51.100.10", lines)));
    let answered = bench.sdp(answer(&party("198.51.100.20", lines)));
    (bench, [medias(&offered), medias(&answered)])
}

#[test]
fn t38_is_relayed_on_two_ports() {
    let lines = "m=image 4000 udptl t38\na=T38FaxVersion:0\na=T38MaxBitRate:14400\n\
        a=T38FaxRateManagement:transferredTCF\na=T38FaxMaxBuffer:1400\na=T38FaxMaxDatagram:400\n\
        a=T38FaxUdpEC:t38UDPRedundancy\n";
    let (bench, shown) = relayed(lines);
    let expected = lines.replace(
        "4000 udptl t38\n",
        "PORT0 udptl t38\nc=IN IP4 203.0.113.1\n",
    );
    assert_eq!(shown, [expected.clone(), expected]);
    assert_eq!(bench.leased(), 4);
}

#[test]
fn msrp_passes_by() {
    let lines = "m=message 2855 TCP/MSRP *\na=accept-types:message/cpim text/plain\n\
        a=path:msrp://198.51.100.10:2855/x;tcp\n";
    let (_, [offered, answered]) = relayed(lines);
    assert_eq!(
        offered,
        lines.replace(" *\n", " *\nc=IN IP4 198.51.100.10\n")
    );
    assert_eq!(
        answered,
        lines.replace(" *\n", " *\nc=IN IP4 198.51.100.20\n")
    );
}

#[test]
fn a_data_channel_is_opaque() {
    let lines = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\nc=IN IP4 198.51.100.7\n\
        a=setup:actpass\na=mid:d\na=fingerprint:sha-256 AA\na=sctp-port:5000\n";
    let (bench, shown) = relayed(lines);
    let expected = lines
        .replace("application 9", "application PORT0")
        .replace("198.51.100.7", "203.0.113.1");
    assert_eq!(shown, [expected.clone(), expected]);
    assert_eq!(bench.leased(), 4);
}

#[test]
fn tcp_is_signalled_with_our_port() {
    let lines = "m=application 5070 TCP/BFCP *\na=setup:passive\na=connection:new\n\
        a=floorctrl:c-s\n";
    let (_, [offered, _]) = relayed(lines);
    assert_eq!(
        offered,
        lines.replace(
            "5070 TCP/BFCP *\n",
            "PORT0 TCP/BFCP *\nc=IN IP4 203.0.113.1\n"
        )
    );
}

#[test]
fn an_unknown_transport_keeps_its_formats() {
    let lines = "m=audio 2000 FOO/BAR 8 0\na=rtpmap:8 x\na=sendonly\n";
    let (_, [offered, _]) = relayed(lines);
    assert_eq!(
        offered,
        lines.replace(
            "2000 FOO/BAR 8 0\n",
            "PORT0 FOO/BAR 8 0\nc=IN IP4 203.0.113.1\n"
        )
    );
}

#[test]
fn a_target_transport_is_for_rtp() {
    let lines = "m=image 4000 udptl t38\na=T38FaxVersion:0\nm=audio 2000 FOO/BAR 8\n";
    let request = offer(&party("198.51.100.10", lines)).with("transport-protocol", "RTP/SAVPF");
    let sdp = Bench::new().sdp(request);
    assert!(
        sdp.contains(" udptl t38\n") && sdp.contains(" FOO/BAR 8\n"),
        "{sdp}"
    );
}
