//! Events as lines in rtpengine's form.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::time::UNIX_EPOCH;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::line::{Entry, Form};
use crate::observe::lines::now;
use crate::observe::subsystem::Subsystem;

thread_local! {
    /// Kept between the events of a thread, which may hold a call meanwhile: no allocation for most.
    static TEXTS: RefCell<Texts> = RefCell::default();
}

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
        TEXTS.with(|kept| match kept.try_borrow_mut() {
            Ok(mut texts) => texts.format(self, event, &mut writer),
            // A value that logs while it is printed.
            Err(_) => Texts::default().format(self, event, &mut writer),
        })
    }
}

/// What an event says: its call, its message, and its values behind it.
#[derive(Default)]
struct Texts {
    call_id: String,
    has_call: bool,
    message: String,
    values: String,
}

impl Texts {
    fn format(&mut self, form: &Form, event: &Event<'_>, out: &mut Writer<'_>) -> fmt::Result {
        self.call_id.clear();
        self.has_call = false;
        self.message.clear();
        self.values.clear();
        event.record(&mut Words { form, texts: self });
        let meta = event.metadata();
        self.message.push_str(&self.values);
        form.write(
            out,
            Entry {
                at: now().duration_since(UNIX_EPOCH).unwrap_or_default(),
                level: *meta.level(),
                subsystem: Subsystem::of(meta.target()),
                call_id: self.has_call.then_some(&self.call_id),
                text: &self.message,
            },
        )
    }
}

/// Takes the fields of an event.
struct Words<'a> {
    form: &'a Form,
    texts: &'a mut Texts,
}

impl Words<'_> {
    fn take(&mut self, name: &str, value: fmt::Arguments<'_>) {
        let texts = &mut *self.texts;
        // Writing to a string does not fail.
        let _ = match name {
            "message" => texts.message.write_fmt(value),
            "call_id" => {
                texts.has_call = true;
                texts.call_id.write_fmt(value)
            }
            name if PRIVATE.contains(&name) => {
                let (before, after) = (&self.form.mark_prefix, &self.form.mark_suffix);
                write!(texts.values, " {name}={before}{value}{after}")
            }
            name => write!(texts.values, " {name}={value}"),
        };
    }
}

impl Visit for Words<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field.name(), format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field.name(), format_args!("{value:?}"));
    }
}

/// Values that are addresses or tags of parties.
const PRIVATE: [&str; 6] = ["source", "from", "to", "destination", "peer", "tag"];

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

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
        let form = Form {
            timestamps: false,
            mark_prefix: "<<".to_owned(),
            mark_suffix: ">>".to_owned(),
            ..Form::default()
        };
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
