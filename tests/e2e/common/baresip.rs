//! baresip: a phone without a screen.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::process::{Process, is_bound};
use super::{TempDir, tone, wait_for};

pub(crate) const BARESIP: &str = "/usr/bin/baresip";

/// What protects the media of a phone; it refuses calls without.
#[derive(Clone, Copy)]
pub(crate) enum Protection {
    None,
    Sdes,
    Dtls,
}

/// It speaks a tone of its own, answers by itself, and writes what it hears.
pub(crate) struct Baresip<'a> {
    pub(crate) name: &'a str,
    /// Of UDP and TCP on 127.0.0.1; TLS is at the next one.
    pub(crate) port: u16,
    pub(crate) hertz: usize,
    pub(crate) protection: Protection,
    /// Where all its requests go, as a transport and an address.
    pub(crate) proxy: Option<(&'a str, SocketAddr)>,
    /// Registers there with this password.
    pub(crate) password: Option<&'a str>,
    /// Its certificate and key in one file, which is also what it trusts.
    pub(crate) certificate: Option<&'a Path>,
}

impl<'a> Baresip<'a> {
    /// A phone with plain media.
    pub(crate) fn new(name: &'a str, port: u16, hertz: usize) -> Self {
        Self {
            name,
            port,
            hertz,
            protection: Protection::None,
            proxy: None,
            password: None,
            certificate: None,
        }
    }

    fn config(&self, home: &Path, tone: &Path) -> String {
        let mut config = format!(
            "poll_method epoll\nsip_listen 127.0.0.1:{}\nnet_interface 127.0.0.1\nrtcp_mux no\n\
             audio_source aufile,{}\naudio_player aubridge,ear\naudio_alert aubridge,bell\n\
             snd_path {}\nmodule_path /usr/lib/baresip/modules\nmodule g711.so\nmodule aufile.so\n\
             module aubridge.so\nmodule sndfile.so\nmodule srtp.so\nmodule dtls_srtp.so\n\
             module_app account.so\nmodule_app menu.so\n",
            self.port,
            tone.display(),
            home.display()
        );
        if let Some(certificate) = self.certificate {
            let certificate = certificate.display();
            config += &format!("sip_certificate {certificate}\nsip_cafile {certificate}\n");
        }
        config
    }

    fn account(&self) -> String {
        let protection = match self.protection {
            Protection::None => "",
            Protection::Sdes => ";mediaenc=srtp-mand",
            Protection::Dtls => ";mediaenc=dtls_srtp",
        };
        let proxy = self.proxy.map_or(String::new(), |(transport, at)| {
            format!(";outbound=\"sip:{at};transport={transport}\"")
        });
        let registers = match self.password {
            Some(password) => format!(";regint=60;auth_pass={password}"),
            None => ";regint=0".to_owned(),
        };
        let host = self.proxy.map_or(self.port, |(_, at)| at.port());
        let transport = self.proxy.map_or(String::new(), |(transport, _)| {
            format!(";transport={transport}")
        });
        format!(
            "<sip:{}@127.0.0.1:{host}{transport}>;answermode=auto{registers}{proxy}{protection}\n",
            self.name
        )
    }

    /// `calls` is whom it calls, for two seconds.
    pub(crate) fn start(&self, directory: &TempDir, calls: Option<&str>) -> Process {
        let home = directory.path().join(self.name);
        std::fs::create_dir(&home).unwrap();
        let tone = home.join("tone.wav");
        tone::write(&tone, self.hertz, 10);
        for (file, text) in [
            ("config", self.config(&home, &tone)),
            ("accounts", self.account()),
            ("contacts", String::new()),
        ] {
            std::fs::write(home.join(file), text).unwrap();
        }
        let mut command = Command::new(BARESIP);
        command.arg("-f").arg(&home);
        if let Some(target) = calls {
            command.args(["-t", "3", "-e", &format!("/dial {target}")]);
        }
        Process::start(
            command,
            &directory.path().join(format!("{}.log", self.name)),
        )
    }

    /// What it prints stays in its buffer until it ends: its ports tell. It opens that of TLS last.
    pub(crate) fn await_ready(&self) {
        let udp = SocketAddr::from(([127, 0, 0, 1], self.port));
        wait_for("baresip", Duration::from_secs(10), || {
            let has_tls = || {
                let tls = SocketAddr::from(([127, 0, 0, 1], self.port + 1));
                self.certificate.is_none() || is_bound("tcp", tls)
            };
            (is_bound("udp", udp) && has_tls()).then_some(())
        });
    }

    pub(crate) fn heard(&self, directory: &Path, hertz: usize, log: &str) {
        let files = std::fs::read_dir(directory.join(self.name)).unwrap();
        let files = files.map(|file| file.unwrap().path());
        let dumps = files.filter(|path| path.to_string_lossy().ends_with("-dec.wav"));
        let dumps = dumps.map(|path| std::fs::read(path).unwrap());
        let wave = dumps.max_by_key(Vec::len).expect("a dump");
        assert!(wave.len() > 2 * tone::RATE, "{} bytes\n{log}", wave.len());
        tone::is_heard(&wave[44..], hertz);
    }
}
