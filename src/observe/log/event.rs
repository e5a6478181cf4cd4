//! Events as lines in rtpengine's form.

use std::fmt::{self, Write as _};
use std::time::UNIX_EPOCH;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::line::{Entry, Form};
use super::sink::now;
use crate::observe::subsystem::Subsystem;

impl<S, N> FormatEvent<S, N> for Form
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut said = Words {
            form: self,
            call_id: None,
            message: String::new(),
            values: String::new(),
        };
        event.record(&mut said);
        let meta = event.metadata();
        said.message.push_str(&said.values);
        let lines = self.lines(Entry {
            at: now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            level: *meta.level(),
            subsystem: Subsystem::of(meta.target()),
            call_id: said.call_id.as_deref(),
            text: &said.message,
        });
        writer.write_str(&lines)
    }
}

/// Text of an event: its message, then its values.
struct Words<'a> {
    form: &'a Form,
    call_id: Option<String>,
    message: String,
    values: String,
}

impl Words<'_> {
    fn take(&mut self, name: &str, value: String) {
        match name {
            "message" => self.message = value,
            "call_id" => self.call_id = Some(value),
            name => {
                let is_private = PRIVATE.contains(&name);
                let value = if is_private {
                    self.form.marked(&value)
                } else {
                    value
                };
                let _ = write!(self.values, " {name}={value}");
            }
        }
    }
}

impl Visit for Words<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field.name(), format!("{value:?}"));
    }
}

/// Values that are addresses or tags of parties.
const PRIVATE: [&str; 6] = ["source", "from", "to", "destination", "peer", "tag"];

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::config::topic::Syslog;

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

    #[test]
    fn events_are_lines_with_call_and_subsystem() {
        let page = Page::default();
        let to = page.clone();
        let form = Form::new(&Syslog {
            timestamps: false,
            mark_prefix: "<<".to_owned(),
            mark_suffix: ">>".to_owned(),
            ..Syslog::default()
        });
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || to.clone())
            .event_format(form)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(
                target: "windlass::daemon::link", call_id = %"c1", "Received command 'ping'"
            );
            tracing::warn!(target: "windlass::call", source = %"192.0.2.1:9", tries = 3, "odd");
        });
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            text,
            "INFO: [c1]: [control] Received command 'ping'\n\
             WARNING: [core] odd source=<<192.0.2.1:9>> tries=3\n"
        );
    }
}
