//! What every other test takes for granted: the guest is up, its file systems are there, sandboxes are apart.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};

use crate::{
    features::Feature,
    harness::{Ctx, Test},
    net, sandbox, sys,
};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "kernel-boots", needs: &[], run: boots },
    Test { name: "kernel-lsm", needs: &[Feature::BpfLsm], run: lsm },
    Test { name: "kernel-modules", needs: &[], run: modules },
    Test { name: "ignition-lays-files", needs: &[], run: ignition },
];

fn boots(ctx: &mut Ctx) -> Result<()> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    ctx.say(&format!("kernel {}", release.trim()));
    ensure!(Path::new("/sys/kernel/btf/vmlinux").exists(), "the kernel has no BTF");
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    for wanted in [" /sys/fs/bpf bpf ", " /sys/fs/cgroup cgroup2 ", " /sys/kernel/security securityfs "] {
        ensure!(mounts.contains(wanted), "no mount with `{wanted}`:\n{mounts}");
    }
    for folder in ["/sys/fs/bpf", "/run", "/tmp"] {
        ensure!(fs::read_dir(folder)?.next().is_none(), "{folder} must be empty when a test begins");
    }
    let links = fs::read_dir("/sys/class/net")?.count();
    ensure!(links == 1, "a test begins with `lo` only; {links} interfaces are there");
    Ok(())
}

/// The need has probed that BPF is among the active modules; the kernel's BTF must name its hooks, too.
fn lsm(_: &mut Ctx) -> Result<()> {
    let btf = fs::read("/sys/kernel/btf/vmlinux").context("reading the kernel's BTF")?;
    let hook = b"\0bpf_lsm_file_open\0";
    ensure!(btf.windows(hook.len()).any(|window| window == hook), "the kernel's BTF has no `bpf_lsm_file_open`");
    Ok(())
}

/// Modules come on demand, as on a node.
fn modules(_: &mut Ctx) -> Result<()> {
    for kind in ["dummy", "bond", "bridge", "vrf table 7"] {
        net::ip(&format!("link add probe0 type {kind}"))?;
        sys::interface_index("probe0")?;
        net::ip("link del probe0")?;
    }
    net::ip("tuntap add dev probe1 mode tap")?;
    net::ip("link add link probe1 name probe2 type vlan id 7")
}

/// The files that the real Ignition laid from `tests/guest/nodes/plain` stand where a node has them.
fn ignition(_: &mut Ctx) -> Result<()> {
    sandbox::use_root("/nodes/plain")?;
    let text = fs::read_to_string("/etc/nodebpf/greeting").context("reading /etc/nodebpf/greeting")?;
    ensure!(text == "hello\n", "the file of the first config says {text:?}");
    let unit = fs::read_to_string("/etc/systemd/system/greeting.service").context("reading the unit")?;
    ensure!(unit.contains("ExecStart=/usr/local/bin/greet"), "the unit says {unit:?}");
    let output =
        std::process::Command::new("/usr/local/bin/greet").output().context("starting /usr/local/bin/greet")?;
    ensure!(output.stdout == b"hello\n", "the program of the second config says {output:?}");
    Ok(())
}
