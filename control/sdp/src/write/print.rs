//! Printing, in the order of the slots.

use std::io::Write;
use std::net::IpAddr;

use crate::attribute::Bandwidth;
use crate::media::MediaKind;
use crate::session::family_name;
use crate::text::Text;
use crate::write::rules::{Verdict, bare};
use crate::write::{DirectionLine, Formats, Media, Section, SectionRules, Session};

impl Session {
    /// The whole text, lines ended by CRLF.
    ///
    /// CR, LF and NUL inside a slot are left out, so that no slot can add a line.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut printer = Printer {
            out: Vec::with_capacity(512 + 768 * self.media.len()),
            rules: self.rules.section(Section::Session),
            line: 0,
        };
        self.print_head(&mut printer);
        for media in &self.media {
            printer.rules = self.rules.section(Section::Media(media.kind));
            media.print(&mut printer);
        }
        printer.out
    }

    fn print_head<'a>(&'a self, printer: &mut Printer<'a>) {
        printer.out.extend_from_slice(b"v=0\r\n");
        let o = &self.origin;
        printer.begin(b"o=");
        for field in [
            &o.username,
            &o.session_id,
            &o.version,
            &o.network,
            &o.family,
            &o.address,
        ] {
            printer.out.extend_from_slice(field.as_bytes());
            printer.out.push(b' ');
        }
        printer.out.pop();
        printer.end();
        printer.line(b"s=", &self.name);
        printer.optional(b"i=", self.info.as_ref());
        printer.optional(b"u=", self.uri.as_ref());
        self.emails
            .iter()
            .for_each(|email| printer.line(b"e=", email));
        self.phones
            .iter()
            .for_each(|phone| printer.line(b"p=", phone));
        printer.bandwidth(&self.bandwidth);
        printer.line(b"t=", &self.timing);
        self.retained
            .iter()
            .for_each(|line| printer.line(b"", line));

        // The reference writes these two with the rules of the first usable media.
        let session_rules = printer.rules;
        let usable = self
            .media
            .iter()
            .find(|media| !media.rejected && media.port != 0);
        let kind = usable.map_or(MediaKind::Other, |media| media.kind);
        printer.rules = self.rules.section(Section::Media(kind));
        printer.valued("rtpengine", self.loop_protect.as_ref());
        printer.rules = session_rules;
        self.moh.iter().for_each(|text| printer.carried(text));
        printer.rules = self.rules.section(Section::Media(kind));
        printer.flag("ice-lite", self.ice_lite);
        printer.rules = session_rules;

        for group in &self.bundle_groups {
            printer.attribute(|out| {
                out.extend_from_slice(b"group:BUNDLE");
                for mid in group {
                    out.push(b' ');
                    out.extend_from_slice(mid.as_bytes());
                }
            });
        }
        self.attributes
            .iter()
            .for_each(|text| printer.carried(text));
        printer.additions();
    }
}

impl Media {
    fn print(&self, printer: &mut Printer<'_>) {
        self.print_head(printer);
        if self.rejected {
            return;
        }
        match &self.verbatim {
            Some(attributes) => {
                attributes.iter().for_each(|text| printer.carried(text));
                self.print_candidates(printer);
            }
            None => {
                self.print_content(printer);
                self.print_transport(printer);
            }
        }
        printer.additions();
    }

    /// `m=` to `a=bundle-only`: all of a rejected media.
    fn print_head(&self, printer: &mut Printer<'_>) {
        let port = if self.rejected { 0 } else { self.port };
        printer.begin(b"m=");
        let out = &mut printer.out;
        out.extend_from_slice(self.kind_text.as_bytes());
        out.push(b' ');
        decimal(out, port);
        if self.port_count > 1 {
            display(out, format_args!("/{}", self.port_count));
        }
        out.push(b' ');
        out.extend_from_slice(self.transport.as_bytes());
        match &self.formats {
            Formats::Codecs if self.codecs.is_empty() => out.extend_from_slice(b" 0"),
            Formats::Codecs => {
                for codec in &self.codecs {
                    out.push(b' ');
                    decimal(out, codec.payload_type);
                }
            }
            // RFC 8866 §5.14: an m= line without a format is none.
            Formats::Text(formats) if formats.is_empty() => out.extend_from_slice(b" 0"),
            Formats::Text(formats) => {
                out.push(b' ');
                out.extend_from_slice(formats.as_bytes());
            }
        }
        printer.end();
        printer.optional(b"i=", self.info.as_ref());
        if let Some(address) = self.connection {
            printer.begin(b"c=");
            let out = &mut printer.out;
            out.extend_from_slice(b"IN ");
            out.extend_from_slice(family_name(address).as_bytes());
            out.push(b' ');
            write_address(out, address);
            printer.end();
        }
        printer.bandwidth(&self.bandwidth);
        self.retained
            .iter()
            .for_each(|line| printer.line(b"", line));
        // Verbatim attributes have them already, but for a mid that the source did not give.
        let has_mid = |text: &Text| text.as_bytes().starts_with(b"mid:");
        let verbatim = self.verbatim.as_ref().filter(|_| !self.rejected);
        if verbatim.is_none_or(|attributes| !attributes.iter().any(has_mid)) {
            printer.valued("mid", self.mid.as_ref());
        }
        if verbatim.is_none() {
            printer.valued("label", self.label.as_ref());
        }
        printer.flag("bundle-only", self.bundle_only);
    }

    /// Prints codecs to direction: the content.
    fn print_content(&self, printer: &mut Printer<'_>) {
        for codec in &self.codecs {
            let pt = codec.payload_type;
            if codec.is_known() {
                printer.attribute(|out| {
                    out.extend_from_slice(b"rtpmap:");
                    decimal(out, pt);
                    out.push(b' ');
                    out.extend_from_slice(codec.name.as_bytes());
                    out.push(b'/');
                    decimal(out, codec.clock_rate);
                    if let Some(channels) = codec.channels.filter(|&channels| channels > 1) {
                        display(out, format_args!("/{channels}"));
                    }
                });
            }
            for fmtp in &codec.printed_fmtp() {
                printer.attribute(|out| {
                    out.extend_from_slice(b"fmtp:");
                    decimal(out, pt);
                    out.push(b' ');
                    out.extend_from_slice(fmtp.as_bytes());
                });
            }
            for feedback in &codec.rtcp_fb {
                printer.attribute(|out| {
                    display(out, format_args!("rtcp-fb:{pt} "));
                    out.extend_from_slice(feedback.as_bytes());
                });
            }
        }
        printer.flag("extmap-allow-mixed", self.extmap_allow_mixed);
        for extmap in &self.extmaps {
            printer.attribute(|out| {
                display(out, format_args!("extmap:{}", extmap.id));
                if let Some(direction) = extmap.direction {
                    display(out, format_args!("/{direction}"));
                }
                out.push(b' ');
                out.extend_from_slice(extmap.uri.as_bytes());
                if !extmap.parameters.is_empty() {
                    out.push(b' ');
                    out.extend_from_slice(extmap.parameters.as_bytes());
                }
            });
        }
        self.generics.iter().for_each(|text| printer.carried(text));
        if let DirectionLine::Print(direction) = self.direction {
            printer.flag(direction.name(), true);
        }
    }

    /// RTCP to the last candidate: how it is sent.
    fn print_transport(&self, printer: &mut Printer<'_>) {
        if let Some(rtcp) = self.rtcp {
            printer.attribute(|out| {
                out.extend_from_slice(b"rtcp:");
                decimal(out, rtcp.port);
                if let Some(address) = rtcp.full {
                    out.extend_from_slice(b" IN ");
                    out.extend_from_slice(family_name(address).as_bytes());
                    out.push(b' ');
                    write_address(out, address);
                }
            });
        }
        printer.flag("rtcp-mux", self.rtcp_mux);
        for crypto in &self.crypto {
            printer.attribute(|out| display(out, format_args!("crypto:{crypto}")));
        }
        if let Some(setup) = self.setup {
            printer.attribute(|out| display(out, format_args!("setup:{}", setup.name())));
        }
        if let Some(fingerprint) = &self.fingerprint {
            printer.attribute(|out| display(out, format_args!("fingerprint:{fingerprint}")));
        }
        printer.valued("tls-id", self.tls_id.as_ref());
        for (name, millis) in [("ptime", self.ptime), ("maxptime", self.maxptime)] {
            if let Some(millis) = millis {
                printer.attribute(|out| display(out, format_args!("{name}:{millis}")));
            }
        }
        printer.valued("ice-ufrag", self.ice_ufrag.as_ref());
        printer.valued("ice-pwd", self.ice_pwd.as_ref());
        printer.valued("ice-options", self.ice_options.as_ref());
        printer.valued("remote-candidates", self.remote_candidates.as_ref());
        self.print_candidates(printer);
    }

    fn print_candidates(&self, printer: &mut Printer<'_>) {
        for candidate in &self.candidates {
            printer.attribute(|out| display(out, format_args!("candidate:{candidate}")));
        }
        printer.flag("end-of-candidates", self.end_of_candidates);
    }
}

/// The text so far, and the rules of the section being printed.
struct Printer<'a> {
    out: Vec<u8>,
    rules: Option<&'a SectionRules>,
    /// Offset of the current line in `out`.
    line: usize,
}

impl Printer<'_> {
    fn begin(&mut self, prefix: &[u8]) {
        self.line = self.out.len();
        self.out.extend_from_slice(prefix);
    }

    fn end(&mut self) {
        let is_break = |byte: &u8| matches!(byte, b'\r' | b'\n' | 0);
        let written = self.out.get(self.line..).unwrap_or_default();
        if written.iter().any(is_break) {
            let mut clean = self.out.split_off(self.line);
            clean.retain(|byte| !is_break(byte));
            self.out.append(&mut clean);
        }
        self.out.extend_from_slice(b"\r\n");
    }

    fn line(&mut self, prefix: &[u8], text: &Text) {
        self.begin(prefix);
        self.out.extend_from_slice(text.as_bytes());
        self.end();
    }

    fn optional(&mut self, prefix: &[u8], text: Option<&Text>) {
        if let Some(text) = text {
            self.line(prefix, text);
        }
    }

    fn bandwidth(&mut self, bandwidth: &Bandwidth) {
        for (name, amount) in bandwidth.typed() {
            self.begin(b"b=");
            display(&mut self.out, format_args!("{name}:{amount}"));
            self.end();
        }
        for other in &bandwidth.others {
            self.line(b"b=", other);
        }
    }

    /// Prints one `a=` line that `write` appends, unless the rules remove or replace it.
    fn attribute(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.begin(b"a=");
        let start = self.out.len();
        write(&mut self.out);
        let written = self.out.get(start..).unwrap_or_default();
        match self
            .rules
            .map_or(Verdict::Keep, |rules| rules.judge(written))
        {
            Verdict::Keep => {}
            Verdict::Remove => {
                self.out.truncate(self.line);
                return;
            }
            Verdict::Replace(by) => {
                self.out.truncate(start);
                self.out.extend_from_slice(bare(by));
            }
        }
        self.end();
    }

    fn carried(&mut self, attribute: &Text) {
        self.attribute(|out| out.extend_from_slice(attribute.as_bytes()));
    }

    fn valued(&mut self, name: &str, value: Option<&Text>) {
        if let Some(value) = value {
            self.attribute(|out| {
                out.extend_from_slice(name.as_bytes());
                out.push(b':');
                out.extend_from_slice(value.as_bytes());
            });
        }
    }

    fn flag(&mut self, name: &str, is_set: bool) {
        if is_set {
            self.attribute(|out| out.extend_from_slice(name.as_bytes()));
        }
    }

    /// The `add` lines of the section, which no rule judges.
    fn additions(&mut self) {
        for text in self
            .rules
            .map(|rules| rules.add.as_slice())
            .unwrap_or_default()
        {
            self.begin(b"a=");
            self.out.extend_from_slice(bare(text));
            self.end();
        }
    }
}

fn decimal(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// IPv4 in a quarter of the time that the formatting traits take.
pub(crate) fn write_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            for (i, octet) in v4.octets().into_iter().enumerate() {
                if i > 0 {
                    out.push(b'.');
                }
                decimal(out, octet);
            }
        }
        IpAddr::V6(v6) => display(out, format_args!("{v6}")),
    }
}

fn display(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a `Vec` cannot fail.
    let _ = out.write_fmt(text);
}
