//! `windlass explain`.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use windlass::call::Now;
use windlass::config::compat::{DEFAULT_FILE, Request, read as read_compat};
use windlass::config::flags::InterfaceFlag;
use windlass::config::names::Names;
use windlass::config::{Config, Flags};
use windlass::explain::{Explainer, Keys, read};

use super::{Outcome, print};

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    configuration: Configuration,

    /// Print keys of SRTP and passwords of ICE, of the peers and of the relay, as they are
    #[arg(long)]
    show_keys: bool,

    /// The requests; standard input without it or with '-'
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// The relay that a command is about.
#[derive(Debug, clap::Args)]
pub(crate) struct Configuration {
    /// The configuration file (TOML) of the relay
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Local address for media in place of the file's, as for 'run'; several times for several.
    /// With neither a file nor this, it is 203.0.113.1 and 2001:db8::1
    #[arg(long, value_name = "[NAME/]ADDR[!ADVERTISED]", value_delimiter = ';')]
    interface: Vec<InterfaceFlag>,

    /// Take everything that follows as rtpengine's own command line, which says how the relay is
    /// configured: its options, its file (/etc/rtpengine/rtpengine.conf)
    #[arg(
        long,
        value_name = "OPTION",
        num_args = 0..,
        allow_hyphen_values = true,
        conflicts_with_all = ["config", "interface"]
    )]
    rtpengine_compat: Option<Vec<String>>,
}

const HELP: &str = "\
Runs ng requests in memory and says what becomes of each, and why. No socket is opened, no packet
moves, nothing is sent anywhere; ports are drawn as examples, the same in every run.

The input is one request after the other, as a proxy sends or logs them: bencode or JSON, with or
without a cookie. White space between them and lines that begin with '#' do not count. They run in
order on one relay, so that an offer, its answer and what follows can be explained together. CR LF
may be written as LF in the SDP of a JSON request; bencode counts bytes and must be as it was sent.

For every request it prints
  - the SDP of the reply; '~' marks a changed line, '+' an added one, '-' one that is not carried
    on, each with its reason: interface and address, transport, keys, ICE, rtcp-mux, codecs, ...
  - keys, flags and values that were ignored, with the known name that may have been meant
  - what was understood but has no effect in this build
  - the flows that the data plane would be told: local port and party, where the party is and how
    it is learned, what it may send, to whom that goes, and what is held back

Keys in SDPs (a=crypto, a=ice-pwd, k=) are redacted without --show-keys: what is printed here ends
in tickets. The SDP that went in holds them still.

Exits with 1 if a request is refused; the reason is printed, for an SDP with the line that caused
it, and later requests still run.

Examples:
  windlass explain call.txt
  windlass explain --config /etc/windlass.toml call.txt
  windlass explain --interface ext/203.0.113.1 --interface int/10.0.0.1 call.txt
  windlass explain call.txt --rtpengine-compat --config-file=/etc/rtpengine/rtpengine.conf
  windlass explain <<'END'
  {\"command\": \"offer\", \"call-id\": \"a\", \"from-tag\": \"F\", \"replace\": [\"origin\"], \"ICE\": \"remove\",
   \"sdp\": \"v=0\\no=- 1 1 IN IP4 192.0.2.1\\ns=-\\nc=IN IP4 192.0.2.1\\nt=0 0\\nm=audio 4000 RTP/AVP 8\\n\"}
  END";

pub(crate) fn explain(args: &ExplainArgs) -> Outcome {
    let config = match configured(&args.configuration)? {
        Configured::Config(config) => config,
        Configured::Ends(code) => return Ok(code),
    };
    let input = input(args.file.as_deref())?;
    let messages = read::messages(&input)?;
    let keys = match args.show_keys {
        true => Keys::Shown,
        false => Keys::Redacted,
    };
    let mut explainer = Explainer::new(&config, now())?.with_keys(keys);
    let mut code = ExitCode::SUCCESS;
    for (index, message) in messages.iter().enumerate() {
        let explanation = explainer.explain(message);
        if explanation.is_refused {
            code = ExitCode::FAILURE;
        }
        if index > 0 {
            print("\n")?;
        }
        print(&explanation.text)?;
    }
    if messages.is_empty() {
        return Err("there is no request in the input".into());
    }
    Ok(code)
}

pub(super) enum Configured {
    Config(Box<Config>),
    Ends(ExitCode),
}

pub(super) fn configured(args: &Configuration) -> Result<Configured, Box<dyn std::error::Error>> {
    let loaded = if let Some(arguments) = &args.rtpengine_compat {
        match read_compat(arguments, Path::new(DEFAULT_FILE), &Names::of_this_host()) {
            Ok(Request::Run(request)) => {
                for warning in &request.warnings {
                    eprintln!("windlass: {warning}");
                }
                Ok(request.config)
            }
            Ok(Request::Print(text)) => {
                print(&text)?;
                return Ok(Configured::Ends(ExitCode::SUCCESS));
            }
            Err(problems) => Err(problems),
        }
    } else {
        let mut flags = Flags {
            interface: args.interface.clone(),
            ..Flags::default()
        };
        if args.config.is_none() && flags.interface.is_empty() {
            for address in ["203.0.113.1", "2001:db8::1"] {
                flags.interface.push(address.parse()?);
            }
        }
        Config::load(args.config.as_deref(), &flags)
    };
    match loaded {
        Ok(config) => Ok(Configured::Config(Box::new(config))),
        Err(problems) => {
            eprintln!("{problems}");
            Ok(Configured::Ends(ExitCode::FAILURE))
        }
    }
}

fn input(file: Option<&Path>) -> io::Result<Vec<u8>> {
    let name = file.filter(|file| *file != Path::new("-"));
    let Some(path) = name else {
        let mut input = Vec::new();
        io::stdin().read_to_end(&mut input)?;
        return Ok(input);
    };
    fs::read(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the driver reads the clocks, call/ does not"
)]
pub(super) fn now() -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH);
    Now {
        instant: Instant::now(),
        unix: unix.unwrap_or_default(),
    }
}
