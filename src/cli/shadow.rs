//! `windlass shadow`.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use parking_lot::Mutex;
use tokio::net::{TcpListener, UdpSocket};
use tokio::signal::unix::{SignalKind, signal};
use windlass::limits::SHADOW_QUEUE;
use windlass::shadow::forward::{self, Copies};
use windlass::shadow::{Entry, Note, Notes, Observer, Report, Skipped};

use super::explain::{Configuration, Configured, configured, now};
use super::{Outcome, print};

/// Counts are written this often.
const TURN: Duration = Duration::from_secs(10);

/// What waits to be compared at the end takes no longer.
const LAST_COUNTS: Duration = Duration::from_secs(5);

/// A process that compares and ends is started again after this.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[command(after_help = HELP, args_conflicts_with_subcommands = true)]
pub(crate) struct ShadowArgs {
    #[command(subcommand)]
    report: Option<Sub>,

    /// Where the proxy sends its requests from now on: UDP and TCP
    #[arg(long, value_name = "IP:PORT", required = true)]
    listen: Option<SocketAddr>,

    /// The ng port of the running rtpengine
    #[arg(long, value_name = "IP:PORT", required = true)]
    upstream: Option<SocketAddr>,

    /// The file that differences and counts are written to, as lines of JSON; written on if it exists
    #[arg(long, value_name = "FILE", default_value = "windlass-shadow.jsonl")]
    log: PathBuf,

    #[command(flatten)]
    configuration: Configuration,

    /// Compares what comes by standard input; started by the process that forwards
    #[arg(long, hide = true)]
    compare: bool,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Put a log into words: how many replies are the same, and each kind of difference with an example
    Report {
        /// The log
        #[arg(value_name = "FILE", default_value = "windlass-shadow.jsonl")]
        log: PathBuf,
    },
}

const HELP: &str = "\
Tries Windlass without risk. Every request of the proxy goes to rtpengine, and its reply back to the
proxy, both unchanged; no packet of media is touched. Beside it, another process runs each request on
a relay in memory and compares: the SDP, refusals and their words, keys of the reply, and the time
that both took. Addresses, ports, keys and numbers that each relay draws for itself count as equal if
they are used alike.

If the other process ends, hangs or is slow, requests are passed on all the same; those that it has
missed are counted. Calls that began before are not compared.

The configuration is that of the relay that would take rtpengine's place: a file of Windlass, or with
--rtpengine-compat rtpengine's own options and file. No port is opened.

Examples:
  windlass shadow --listen 127.0.0.1:2223 --upstream 127.0.0.1:22222 \\
      --rtpengine-compat --config-file=/etc/rtpengine/rtpengine.conf
  windlass shadow report
  windlass explain ...                          more about one call

'report' exits with 0 if all that was compared is the same, with 1 if not.";

pub(crate) fn shadow(args: &ShadowArgs) -> Outcome {
    if let Some(Sub::Report { log }) = &args.report {
        return report(log);
    }
    let config = match configured(&args.configuration)? {
        Configured::Config(config) => config,
        Configured::Ends(code) => return Ok(code),
    };
    if args.compare {
        let observer = Observer::new(*config, now())?;
        return compare(observer, &args.log);
    }
    let (Some(listen), Some(upstream)) = (args.listen, args.upstream) else {
        return Err("--listen and --upstream say where requests come from and go to".into());
    };
    // What is wrong with it is better said now than with every start of the other process.
    drop(Observer::new(*config, now())?);
    drop(open(&args.log)?);
    let (queue, notes) = sync_channel(SHADOW_QUEUE);
    let comparing = Comparing::default();
    let handing = thread::Builder::new()
        .name("shadow-pipe".to_owned())
        .spawn({
            let comparing = Arc::clone(&comparing);
            move || hand_on(&notes, &comparing)
        })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(forward(
        forward::Path { listen, upstream },
        Copies::new(queue),
    ))?;
    // With the last task the queue ends, and with it the other process.
    drop(runtime);
    end(&comparing, &handing);
    Ok(ExitCode::SUCCESS)
}

/// Until a signal.
async fn forward(path: forward::Path, copies: Copies) -> io::Result<()> {
    let at = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.listen));
    let socket = UdpSocket::bind(path.listen).await.map_err(at)?;
    let listener = TcpListener::bind(path.listen).await.map_err(at)?;
    let copies = Arc::new(copies);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    eprintln!(
        "windlass: requests to {} go to rtpengine at {}",
        path.listen, path.upstream
    );
    tokio::select! {
        result = forward::datagrams(socket, path, Arc::clone(&copies)) => result,
        result = forward::connections(listener, path, copies) => result,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

/// The process that compares, while there is one.
type Comparing = Arc<Mutex<Option<Child>>>;

/// Hands what passed to the process that compares, and starts it again when it ends.
fn hand_on(notes: &Receiver<Note>, comparing: &Comparing) {
    let mut pipe: Option<ChildStdin> = None;
    let mut last: Option<Instant> = None;
    // Replies that nobody compared, for want of a process.
    let mut missed: u64 = 0;
    while let Ok(note) = notes.recv() {
        let is_due = last.is_none_or(|last| last.elapsed() >= AGAIN);
        if pipe.is_none() && is_due {
            last = Some(now().instant);
            match start() {
                Ok(mut child) => {
                    pipe = child.stdin.take();
                    *comparing.lock() = Some(child);
                }
                Err(error) => eprintln!("windlass: cannot compare: {error}"),
            }
        }
        let count = match &note {
            Note::Reply(_) => 1,
            Note::Skipped(_, count) => *count,
        };
        let Some(open) = &mut pipe else {
            missed += count;
            continue;
        };
        let told = Note::Skipped(Skipped::Behind, missed);
        let is_told = missed == 0 || open.write_all(&told.to_bytes()).is_ok();
        if is_told {
            missed = 0;
        }
        if !is_told || open.write_all(&note.to_bytes()).is_err() {
            missed += count;
            pipe = None;
            if let Some(mut child) = comparing.lock().take() {
                let _ = child.kill();
                let end = child
                    .wait()
                    .map_or_else(|error| error.to_string(), |end| end.to_string());
                eprintln!("windlass: the comparison ended ({end}); it starts again");
            }
        }
    }
}

/// Has the other process write its last counts: its input has ended. One that hangs is killed.
fn end(comparing: &Comparing, handing: &thread::JoinHandle<()>) {
    let begin = now().instant;
    while begin.elapsed() < LAST_COUNTS {
        let mut child = comparing.lock();
        let is_over = |child: &mut Child| !matches!(child.try_wait(), Ok(None));
        if handing.is_finished() && child.as_mut().is_none_or(is_over) {
            return;
        }
        drop(child);
        thread::park_timeout(Duration::from_millis(10));
    }
    if let Some(mut child) = comparing.lock().take() {
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// This command line once more, to compare.
fn start() -> io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    // Behind --rtpengine-compat everything is rtpengine's.
    command.args(arguments.iter().take(1));
    command.arg("--compare");
    command.args(arguments.iter().skip(1));
    command.stdin(Stdio::piped()).spawn()
}

fn open(log: &Path) -> io::Result<File> {
    let opened = OpenOptions::new().append(true).create(true).open(log);
    opened.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", log.display())))
}

/// Compares what comes by standard input until it ends.
fn compare(mut observer: Observer, log: &Path) -> Outcome {
    let mut log = open(log)?;
    let (sender, pieces) = sync_channel::<Vec<u8>>(16);
    thread::spawn(move || {
        let mut input = io::stdin().lock();
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = input.read(&mut buffer) {
            let piece = buffer.get(..length).unwrap_or_default().to_vec();
            if sender.send(piece).is_err() {
                break;
            }
        }
    });
    let mut notes = Notes::default();
    let mut turned = now().instant;
    loop {
        let piece = pieces.recv_timeout(TURN);
        let is_over = matches!(piece, Err(RecvTimeoutError::Disconnected));
        if let Ok(piece) = piece {
            notes.push(&piece);
        }
        while let Some(note) = notes.next_note()? {
            match note {
                Note::Reply(observed) => {
                    for entry in observer.observe(&observed, now()) {
                        write(&mut log, &entry)?;
                    }
                }
                Note::Skipped(why, count) => observer.skip(why, count),
            }
        }
        if is_over || turned.elapsed() >= TURN {
            turned = now().instant;
            if let Some(totals) = observer.turn(now()) {
                write(&mut log, &totals)?;
            }
        }
        if is_over {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn write(log: &mut File, entry: &Entry) -> io::Result<()> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    log.write_all(&line)
}

fn report(log: &Path) -> Outcome {
    let file = File::open(log)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", log.display())))?;
    let mut report = Report::default();
    for line in BufReader::new(file).lines() {
        report.add(&line?);
    }
    print(&report.text())?;
    Ok(match report.is_equal() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
