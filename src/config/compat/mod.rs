//! rtpengine's own command line and configuration file, read as a [`Config`].
//!
//! `options` knows every option, `command_line` and `ini` read the two texts, `said` puts one over
//! the other, `lay` turns what was said into the draft that a TOML file becomes too. Options without
//! a meaning here are taken and named once; only what contradicts itself is refused.

mod command_line;
mod ini;
mod interfaces;
mod lay;
mod options;
mod said;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use windlass_ng::{Network, Rule};
use windlass_toml::{Place, Problem, Problems};

use super::check::check;
use super::draft::Draft;
use super::names::Names;
use super::topic::Audio;
use super::write::write;
use super::{Config, file};
use command_line::CommandLine;
use said::Said;

/// The name that a process is started under to be rtpengine.
pub const PROGRAM: &str = "rtpengine";

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "/etc/rtpengine/rtpengine.conf";

/// Purpose of a command line.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Run the relay.
    Run(Box<Run>),
    /// Print this text and end.
    Print(String),
}

/// Settings and warnings of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The settings.
    pub config: Config,
    /// Warnings for the operator, to be logged once the log is open.
    pub warnings: Vec<String>,
}

/// Reads a command line, given without the program's name, and the file that it means.
///
/// # Errors
/// Every contradiction, with its option, value and place.
pub fn read(arguments: &[String], default_file: &Path, names: &Names) -> Result<Request, Problems> {
    let (line, mut problems) = CommandLine::parse(arguments);
    if line.wants_help {
        return Ok(Request::Print(help()));
    }
    if !problems.is_empty() {
        return Err(Problems {
            path: None,
            list: problems,
        });
    }
    if let Some(text) = action(&line) {
        return Ok(Request::Print(text));
    }
    let (path, text) = text_of_file(&line, default_file)?;
    let with_path = |list| Problems {
        path: path.clone(),
        list,
    };
    let said = Said::new(&line, &text, &mut problems);
    let draft = lay::lay(&said, names, &mut problems);
    let mut warnings = said.warnings();
    match finish(draft, names, problems) {
        Ok(config) if config.access == Rule::Compat => {
            warnings.push(WIDE.to_owned());
            Ok(Request::Run(Box::new(Run { config, warnings })))
        }
        Ok(config) => Ok(Request::Run(Box::new(Run { config, warnings }))),
        Err(list) => Err(with_path(list)),
    }
}

/// The text of an rtpengine.conf as the text of our own file.
///
/// # Errors
/// Every contradiction, with its place.
pub fn import(text: &str, section: &str) -> Result<String, Vec<Problem>> {
    let names = Names::unseen();
    let mut problems = Vec::new();
    let said = Said::of_file(text, section, &mut problems);
    let mut draft = lay::lay(&said, &names, &mut problems);
    finish(draft.clone(), &names, problems)?;
    let mut out = "# Made from an rtpengine.conf. What is not here has its default.\n".to_owned();
    for warning in said.warnings() {
        comment(&mut out, &warning);
    }
    if draft.learning.is_none() {
        let text = "endpoint-learning was not set: the source of media is learned in the `guarded` \
                    way, not the `heuristic` one; see `learning` in [media]";
        comment(&mut out, text);
    }
    draft.is_compat = false;
    let mut refused = Vec::new();
    check(draft.clone(), &names, &mut refused);
    if !refused.is_empty() {
        // The only thing that is right there and wrong here is a wide bind without a list.
        draft.groups.control.allow = Network::PRIVATE.to_vec();
        let text = "the control listeners can be reached from elsewhere: `allow` in [control] \
                    takes private networks, name your proxies instead";
        comment(&mut out, text);
    }
    out.push_str(&write(&draft));
    file::parse(&out, &super::Flags::default(), &names)?;
    Ok(out)
}

/// Whether a program's path names it as rtpengine.
pub fn is_program(path: &str) -> bool {
    Path::new(path)
        .file_name()
        .is_some_and(|name| name == PROGRAM)
}

fn finish(draft: Draft, names: &Names, mut problems: Vec<Problem>) -> Result<Config, Vec<Problem>> {
    if problems.is_empty() {
        let config = check(draft, names, &mut problems);
        if problems.is_empty() {
            return Ok(config);
        }
    }
    problems.sort_by_key(|problem| problem.at);
    Err(problems)
}

/// Output of an option that only prints.
fn action(line: &CommandLine) -> Option<String> {
    let asks = |name| line.last(name).is_some_and(|flag| flag.value != "false");
    if asks("version") {
        return Some(format!("Version: windlass {}\n", env!("CARGO_PKG_VERSION")));
    }
    if asks("codecs") {
        // What a start without a configuration would have.
        let (libraries, _) = crate::config::codecs::open(&Audio::default());
        return Some(crate::config::codecs::table(&libraries));
    }
    let firewall = ["nftables-start", "nftables-stop", "nftables-status"];
    firewall.iter().any(|name| asks(name)).then(|| {
        "windlass forwards without a kernel module and needs no firewall rule for it\n".to_owned()
    })
}

/// The configuration file's text; a missing file is empty unless it was named.
fn text_of_file(
    line: &CommandLine,
    default_file: &Path,
) -> Result<(Option<PathBuf>, String), Problems> {
    let named = line.last("config-file");
    let path = match named {
        Some(name) if name.value == "none" => return Ok((None, String::new())),
        Some(name) => PathBuf::from(&name.value),
        None => default_file.to_path_buf(),
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok((Some(path), text)),
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            Ok((None, String::new()))
        }
        Err(error) => Err(Problems {
            list: vec![Problem {
                at: named.map_or(Place::Whole, |name| name.at),
                message: format!("config-file {} cannot be read: {error}", path.display()),
            }],
            path: None,
        }),
    }
}

fn comment(out: &mut String, text: &str) {
    let mut width = usize::MAX;
    for word in text.split_whitespace() {
        if width.saturating_add(word.len()) > 96 {
            out.push_str(if width == usize::MAX { "# -" } else { "\n#  " });
            width = 3;
        }
        out.push(' ');
        out.push_str(word);
        width += word.len() + 1;
    }
    out.push('\n');
}

fn help() -> String {
    format!(
        "Usage: rtpengine [OPTION...]\n       windlass run --rtpengine-compat [OPTION...]\n\n\
         The relay with rtpengine's command line and its file, {DEFAULT_FILE}.\n\
         The command line overrides the file.\n\n{}",
        options::help()
    )
}

const WIDE: &str = "\
control listeners can be reached from elsewhere, and nothing says who may ask: requests are \
answered from private and link-local addresses and from networks of this host, refused from \
others; long UDP replies and lists of call-ids are for those that --control-allow names";
