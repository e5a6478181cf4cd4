//! A proxy as a process of its own, between the same two parties.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const KAMAILIO: &str = "/usr/sbin/kamailio";

/// What a proxy does with each call, beside Record-Route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Dialogs, a limit that counts calls at once, a record of each call; the SDP goes through.
    Windlass,
    /// The same, and what is inside is hidden.
    WindlassHiding,
    /// The same as the first, with media through the relay of the process.
    WindlassMedia,
    /// Transactions alone.
    Kamailio,
    /// With the dialog module.
    KamailioDialogs,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Windlass => "Windlass: dialogs, limit, CDR",
            Self::WindlassHiding => "Windlass: and topology hiding",
            Self::WindlassMedia => "Windlass: and media of its own",
            Self::Kamailio => "Kamailio: stateful",
            Self::KamailioDialogs => "Kamailio: with dialogs",
        }
    }

    pub(crate) fn is_installed(self) -> bool {
        !matches!(self, Self::Kamailio | Self::KamailioDialogs)
            || fs::exists(KAMAILIO).unwrap_or(false)
    }
}

pub(crate) struct Proxy {
    child: Child,
    address: SocketAddr,
    directory: PathBuf,
}

impl Proxy {
    /// Starts it on the core; it takes calls once this returns.
    pub(crate) fn start(kind: Kind, callee: SocketAddr, core: usize) -> Self {
        let [outside, inside, ng] = [(); 3].map(|()| {
            let free = UdpSocket::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap()
        });
        let name = format!(
            "windlass-bench-edge-{}-{}",
            std::process::id(),
            outside.port()
        );
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let mut command = match kind {
            Kind::Kamailio | Kind::KamailioDialogs => {
                kamailio(&directory, outside, callee, kind == Kind::KamailioDialogs)
            }
            _ => windlass(&directory, kind, (outside, inside, ng), callee),
        };
        let log = fs::File::create(directory.join("log")).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let child = command.spawn().unwrap();
        let proxy = Self {
            child,
            address: outside,
            directory,
        };
        let deadline = Instant::now() + Duration::from_secs(15);
        while UdpSocket::bind(outside).is_ok() {
            let log = fs::read_to_string(proxy.directory.join("log")).unwrap_or_default();
            assert!(
                Instant::now() < deadline,
                "{} does not start\n{log}",
                kind.name()
            );
            std::thread::park_timeout(Duration::from_millis(50));
        }
        // Workers come up after the socket.
        std::thread::park_timeout(Duration::from_millis(500));
        for process in proxy.processes() {
            crate::process::pin(process, core);
        }
        proxy
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process and its children.
    fn processes(&self) -> Vec<u32> {
        let mut found = vec![self.child.id()];
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Ok(process) = entry.file_name().to_string_lossy().parse() else {
                continue;
            };
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
            if fields.split_whitespace().nth(1) == Some(&self.child.id().to_string()) {
                found.push(process);
            }
        }
        found
    }

    /// Time on a core of all threads of all its processes so far.
    pub(crate) fn cpu_ns(&self) -> u64 {
        let mut sum = 0;
        for process in self.processes() {
            let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else {
                continue;
            };
            for task in tasks.flatten() {
                let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
                let first = text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok());
                sum += first.unwrap_or(0);
            }
        }
        sum
    }

    /// Memory that no other process has; pages that the processes of a proxy share are counted in
    /// their parts.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let of = |process| {
            let path = format!("/proc/{process}/smaps_rollup");
            let text = fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
            let number = line.and_then(|line| line.split_whitespace().next());
            number.map_or(0, |kilobytes| kilobytes.parse::<u64>().unwrap() * 1024)
        };
        self.processes().into_iter().map(of).sum()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn windlass(
    directory: &std::path::Path,
    kind: Kind,
    (outside, inside, ng): (SocketAddr, SocketAddr, SocketAddr),
    callee: SocketAddr,
) -> Command {
    let link = match kind {
        Kind::WindlassHiding => "anchor_media = false\nhide = true\nhide_callid = true\n",
        Kind::WindlassMedia => "",
        _ => "anchor_media = false\n",
    };
    let path = directory.join("windlass.toml");
    let text = format!(
        "[[interface]]\naddress = \"127.0.0.1\"\n[ports]\nmin = 10000\nmax = 49999\n\
         [ng]\nudp = [\"{ng}\"]\n[timeouts]\ndelete_delay = 0\n\
         [edge]\ncalls = 1000000\nsetups_per_source = 1000000\nbytes_per_source = 4294967296\n\
         [[zone]]\nname = \"public\"\ntrust = \"untrusted\"\n\
         [[zone.listen]]\nproto = \"udp\"\nbind = \"{outside}\"\n\
         [[zone]]\nname = \"core\"\ntrust = \"inside\"\n\
         [[zone.listen]]\nproto = \"udp\"\nbind = \"{inside}\"\n\
         [[link]]\nzones = [\"public\", \"core\"]\n{link}\
         [[upstream]]\nname = \"pbx\"\nzone = \"core\"\nprobe = \"never\"\n\
         [[upstream.target]]\nuri = \"sip:{callee}\"\n\
         [[peer]]\nname = \"bench\"\nzone = \"public\"\nsource = [\"127.0.0.1/32\"]\n\
         [[limit]]\nname = \"per-peer\"\nkey = \"{{peer}}\"\ncalls = 1000000\n\
         [[route]]\nmatch = {{ from_zone = \"public\" }}\nto = [\"pbx\"]\n\
         [log]\ncdr = {{ file = \"cdr.jsonl\" }}\n"
    );
    fs::write(&path, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
    command.arg("run").arg("--config").arg(path);
    command
}

fn kamailio(
    directory: &std::path::Path,
    outside: SocketAddr,
    callee: SocketAddr,
    with_dialogs: bool,
) -> Command {
    let (load, manage) = match with_dialogs {
        true => (
            "loadmodule \"dialog.so\"\nmodparam(\"dialog\", \"db_mode\", 0)\n\
             modparam(\"dialog\", \"track_cseq_updates\", 0)\n",
            "    if (is_method(\"INVITE\")) dlg_manage();\n",
        ),
        false => ("", ""),
    };
    let text = format!(
        r#"#!KAMAILIO
debug=0
log_stderror=yes
children=2
disable_tcp=yes
auto_aliases=no
listen=udp:{outside}
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/:/usr/lib/kamailio/modules/"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
{load}
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (has_totag()) {{
        if (!loose_route()) {{ exit; }}
        t_relay();
        exit;
    }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    t_check_trans();
    record_route();
{manage}    $du = "sip:{callee}";
    t_relay();
}}
"#
    );
    let config = directory.join("kamailio.cfg");
    fs::write(&config, text).unwrap();
    let mut command = Command::new(KAMAILIO);
    command.args(["-DD", "-E", "-m", "1024", "-M", "16", "-Y"]);
    command.arg(directory).arg("-f").arg(config);
    command
}
