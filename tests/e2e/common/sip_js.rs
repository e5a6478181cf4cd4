//! SIP.js: the SIP of web pages, from npm.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is installed, and nothing newer: tests give the same answer every time.
const PACKAGE: &str = "sip.js@0.21.2";

/// The directory of its modules: installed once, beside the build. `None`: it cannot be had, which
/// is said, and with CI=true a failure.
pub(crate) fn modules() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let home = target.join("sip.js");
    let modules = home.join("node_modules/sip.js/lib");
    let lock = File::create(target.join("sip.js.lock")).unwrap();
    lock.lock().unwrap();
    let install = || {
        let mut command = Command::new("npm");
        command.args([
            "install",
            "--silent",
            "--no-fund",
            "--no-audit",
            "--ignore-scripts",
        ]);
        command.arg("--prefix").arg(&home).arg(PACKAGE);
        let output = command.stdin(Stdio::null()).output();
        output.is_ok_and(|output| output.status.success())
    };
    let has = || modules.join("index.js").exists();
    let is_there = has() || install() && has();
    if !is_there {
        let required = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!required, "{PACKAGE} cannot be installed");
        println!("skipped: {PACKAGE} cannot be installed with npm");
    }
    is_there.then_some(modules)
}
