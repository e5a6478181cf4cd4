//! What the log says of a call (media-behaviour §16).

use std::io;
use std::sync::{Arc, Mutex};

use windlass_ng::Dict;

use super::{Bench, Defaults, answer, audio, numbered, offer};
use crate::call::Marks;
use crate::config::topic::Syslog;
use crate::observe::log::line::Form;

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The log of a call that is offered, answered and deleted.
fn log_of_a_call(mut bench: Bench) -> String {
    let page = Page::default();
    let to = page.clone();
    let form = Form::new(&Syslog {
        timestamps: false,
        ..Syslog::default()
    });
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || to.clone())
        .event_format(form)
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        bench.ask(offer(&audio("198.51.100.2", 4000, "")));
        bench.wait(62);
        bench.ask(answer(&audio("198.51.100.7", 5000, "a=rtcp-mux\n")));
        let delete = Dict::new()
            .with("command", "delete")
            .with("call-id", "call");
        bench.ask(delete.with("delete-delay", 0));
    });
    String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
}

#[test]
fn a_call_is_logged_from_its_creation_to_its_statistics() {
    let log = numbered(&log_of_a_call(Bench::new()));
    let expected = "\
INFO: [call]: [core] Creating new call
INFO: [call]: [core] Final packet stats:
INFO: [call]: [core] --- Tag 'F', created 1:02 ago for branch ''
INFO: [call]: [core] ------ Media #1 (audio over RTP/AVP) using unknown codec
INFO: [call]: [core] --------- Port     203.0.113.1:PORT0 <>    198.51.100.2:4000 , SSRC 0, \
in 0 p, 0 b, 0 e, ";
    assert!(log.starts_with(expected), "{log}");
    let rtcp = "<>    198.51.100.2:4001  (RTCP), SSRC 0, in 0 p, 0 b, 0 e, ";
    assert!(log.contains(rtcp), "{log}");
    assert!(log.contains(" ts, out 0 p, 0 b, 0 e\n"), "{log}");
    assert!(
        log.contains("--- Tag 'T', created 1:02 ago for branch ''\n"),
        "{log}"
    );
}

#[test]
fn marks_stand_around_addresses_and_tags() {
    let log = log_of_a_call(Bench::with_defaults(Defaults {
        log_marks: Marks {
            prefix: "<<".to_owned(),
            suffix: ">>".to_owned(),
        },
        ..Defaults::default()
    }));
    for marked in [
        "--- Tag '<<F>>', created 1:02 ago for branch '<<>>'",
        " <> <<   198.51.100.2:4000 >>, SSRC <<0>>, in",
        " <> <<   198.51.100.7:5000 >>, SSRC <<0>>, in",
    ] {
        assert!(log.contains(marked), "{marked}\n{log}");
    }
}
