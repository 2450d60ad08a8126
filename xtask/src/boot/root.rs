//! The Debian root file system of the boot test: systemd, udev, Open vSwitch, and little else.
//!
//! In:  Debian's archive, on the first use only. Out: a cpio archive below `target/vm/boot/`, named by its recipe.
//! May fail with: a download that fails, an apt that knows no archive of the suite.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::{files, run};

const PACKAGES: &str = "systemd,systemd-sysv,udev,dbus,iproute2,kmod,jq,openvswitch-switch";

const SUITE: &str = "bookworm";

/// What nothing in the guest reads: an emulated processor unpacks each byte of an archive.
const LEFT_OUT: [&str; 20] = [
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/zoneinfo",
    "usr/share/perl",
    "usr/share/perl5",
    "usr/share/i18n",
    "usr/share/gcc",
    "usr/lib/python3",
    "usr/lib/python3.11",
    "usr/bin/python3.11",
    "usr/bin/perl",
    "usr/bin/perl5.36.0",
    "usr/lib/x86_64-linux-gnu/perl-base",
    "usr/lib/x86_64-linux-gnu/gconv",
    "usr/lib/udev/hwdb.d",
    "usr/lib/udev/hwdb.bin",
    "var/lib/apt",
    "var/lib/dpkg",
    "var/cache",
];

/// Tells the kernel that its clock is synchronised, which no time server is there to do. Unpacked only: its installation
/// wants to compare clocks.
const ADJTIMEX: &str = "--customize-hook=chroot \"$1\" sh -ec 'cd /tmp; apt-get -q download adjtimex; \
                        dpkg-deb -x adjtimex_*.deb x; cp x/sbin/adjtimex /usr/sbin/; rm -r x adjtimex_*.deb'";

/// Where this machine's own apt gets the suite from.
fn mirror() -> Result<String> {
    let format = "$(RELEASE) $(COMPONENT) $(SITE)";
    let output =
        run::capture(Command::new("apt-get").args(["indextargets", "--format", format, "Created-By: Packages"]))?;
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let wanted = format!("{SUITE} main ");
    let site = lines.lines().find_map(|line| line.strip_prefix(&wanted));
    site.map(str::to_owned).with_context(|| format!("apt on this machine has no source of Debian `{SUITE}`, main"))
}

/// Makes it, if it is not there.
pub(crate) fn obtain() -> Result<PathBuf> {
    let key = files::digest_of(&format!("3 {PACKAGES} {SUITE} {LEFT_OUT:?} {ADJTIMEX}"));
    let folder = run::root().join("target/vm/boot").join(&key[..12]);
    let archive = folder.join("root.cpio");
    let _lock = files::lock("boot-root")?;
    if archive.exists() {
        return Ok(archive);
    }
    eprintln!("making a Debian root file system (once)");
    let work = folder.with_extension("unfinished");
    files::empty_folder(&work)?;
    let tar = work.join("root.tar");
    let left_out: Vec<String> = LEFT_OUT.iter().map(|path| format!("\"$1\"/{path}")).collect();
    let site = mirror()?;
    run::check(
        Command::new("mmdebstrap")
            .args([
                "--quiet",
                "--variant=minbase",
                "--dpkgopt=path-exclude=/usr/share/doc/*",
                &format!("--include={PACKAGES}"),
            ])
            .arg(ADJTIMEX)
            // A machine id would make it no first boot.
            .arg(format!("--customize-hook=rm -rf {} && rm -f \"$1\"/etc/machine-id", left_out.join(" ")))
            .arg(SUITE)
            .arg(&tar)
            .arg(&site),
    )
    .with_context(|| {
        format!(
            "mmdebstrap made no root file system of Debian `{SUITE}` from {site}; this needs the network once: \
             `apt-get update` shows whether that archive answers"
        )
    })?;
    run::check(
        Command::new("bsdtar")
            .args(["--format", "newc", "-cf"])
            .arg(work.join("root.cpio"))
            .arg(format!("@{}", tar.display())),
    )?;
    std::fs::remove_file(tar)?;
    files::replace_folder(&work, &folder)?;
    Ok(archive)
}
