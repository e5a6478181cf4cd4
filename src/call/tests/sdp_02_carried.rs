//! sdp-rewriting §2: what is carried, generated and dropped.

use super::*;

fn shown(sdp: &str) -> String {
    numbered(&Bench::new().sdp(offer(sdp)))
}

#[test]
fn timing_is_made_up_and_a_name_may_be_empty() {
    let sdp = shown(
        "v=0\no=- 1 1 IN IP4 198.51.100.10\ns=\nc=IN IP4 198.51.100.10\nm=audio 2000 RTP/AVP 8\n",
    );
    assert!(
        sdp.starts_with("v=0\no=- 1 1 IN IP4 198.51.100.10\ns=\nt=0 0\nm=audio "),
        "{sdp}"
    );
}

#[test]
fn bandwidths_have_an_order() {
    let lines = "b=TIAS:5\nb=CT:4\nb=RS:3\nb=RR:2\nb=AS:1\n";
    let ordered = "b=AS:1\nb=RR:2\nb=RS:3\nb=CT:4\nb=TIAS:5\n";
    let sdp = audio("198.51.100.10", 2000, lines).replace("t=0 0\n", &format!("{lines}t=0 0\n"));
    let sdp = shown(&sdp);
    assert!(sdp.contains(&format!("s=-\n{ordered}t=0 0\n")), "{sdp}");
    assert!(
        sdp.contains(&format!("c=IN IP4 203.0.113.1\n{ordered}a=rtpmap")),
        "{sdp}"
    );
}

#[test]
fn unknown_attributes_are_copied_in_their_order() {
    let session = "a=tool:foo\na=foo\na=x:y z\na=msid-semantic: WMS *\n";
    let media = "a=rtcp-fb:* nack\na=bundle-only\na=msid:a b\na=ssrc:1 cname:x\na=rid:1 send\n\
        a=simulcast:send 1\na=imageattr:96 send *\na=rtcp-rsize\na=cfg:1\n";
    let sdp = audio("198.51.100.10", 2000, media).replace("t=0 0\n", &format!("t=0 0\n{session}"));
    let sdp = shown(&sdp);
    assert!(sdp.contains(&format!("t=0 0\n{session}m=audio")), "{sdp}");
    assert!(
        sdp.contains(&format!("PCMA/8000\n{media}a=sendrecv\n")),
        "{sdp}"
    );
}

#[test]
fn codecs_are_regenerated_in_the_order_of_the_list() {
    let lines = "m=audio 2000 RTP/AVP 101 8 97\na=rtcp-fb:97 nack\na=fmtp:97 mode=20\n\
        a=rtpmap:97 iLBC/8000\na=between\na=fmtp:101 0-15\na=rtpmap:101 telephone-event/8000\n\
        a=rtpmap:99 gone/8000\na=fmtp:99 x\na=rtcp-fb:99 nack\n";
    let sdp = audio("198.51.100.10", 2000, "").replace("m=audio 2000 RTP/AVP 8\n", lines);
    assert!(
        shown(&sdp).ends_with(
            "m=audio PORT0 RTP/AVP 101 8 97\nc=IN IP4 203.0.113.1\n\
             a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=rtpmap:8 PCMA/8000\n\
             a=rtpmap:97 iLBC/8000\na=fmtp:97 mode=20\na=rtcp-fb:97 nack\na=between\na=sendrecv\n\
             a=rtcp:PORT1\n"
        ),
        "{}",
        shown(&sdp)
    );
}

/// The peer, which has them from the codec list as well, prints them so.
#[test]
fn channels_are_said_where_they_are_more_than_one() {
    let lines = "m=audio 2000 RTP/AVP 8 97 98\na=rtpmap:8 pcma/8000/1\na=rtpmap:97 L16/16000/1\n\
        a=rtpmap:98 opus/48000/2\n";
    let sdp = audio("198.51.100.10", 2000, "").replace("m=audio 2000 RTP/AVP 8\n", lines);
    let sdp = shown(&sdp);
    assert!(
        sdp.contains("\na=rtpmap:8 pcma/8000\na=rtpmap:97 L16/16000\na=rtpmap:98 opus/48000/2\n"),
        "{sdp}"
    );
}

#[test]
fn what_is_ours_to_say_is_not_copied() {
    let lines = "a=rtcp:2009\na=ice-mismatch\na=remote-candidates:1 198.51.100.1 9\n\
        a=end-of-candidates\na=ice-options:trickle\na=setup:actpass\na=tls-id:abc\n\
        a=rtpengine:0123456789ab\n";
    let sdp = audio("198.51.100.10", 2000, lines)
        .replace("t=0 0\n", "t=0 0\na=rtpengine:0123456789ab\na=ice-lite\n");
    assert_eq!(
        shown(&sdp),
        "v=0\no=- 1 1 IN IP4 198.51.100.10\ns=-\nt=0 0\nm=audio PORT0 RTP/AVP 8\n\
         c=IN IP4 203.0.113.1\na=rtpmap:8 PCMA/8000\na=sendrecv\na=rtcp:PORT1\n"
    );
}

#[test]
fn a_media_that_is_no_rtp_is_copied_word_for_word() {
    let lines = "i=data\nb=AS:30\na=zzz\na=sctp-port:5000\na=mid:d\na=sendonly\na=setup:actpass\n\
        a=max-message-size:9\n";
    let sdp = audio(
        "198.51.100.10",
        2000,
        &format!(
            "m=application 2002 UDP/DTLS/SCTP webrtc-datachannel\n{lines}a=end-of-candidates\n"
        ),
    );
    let sdp = shown(&sdp);
    let expected = lines.replace("b=AS", "c=IN IP4 203.0.113.1\nb=AS");
    assert!(
        sdp.ends_with(&format!(" UDP/DTLS/SCTP webrtc-datachannel\n{expected}")),
        "{sdp}"
    );
}

#[test]
fn a_generated_mid_is_also_that_of_a_media_that_is_copied() {
    let lines = "m=image 2002 udptl t38\na=T38FaxVersion:0\n";
    let request =
        offer(&audio("198.51.100.10", 2000, lines)).with("flags", strings(&["generate-mid"]));
    let sdp = Bench::new().sdp(request);
    assert!(
        sdp.ends_with("c=IN IP4 203.0.113.1\na=mid:2\na=T38FaxVersion:0\n"),
        "{sdp}"
    );
}
