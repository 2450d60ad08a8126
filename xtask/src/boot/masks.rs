//! What of Debian's systemd the boot test does not start: it costs an emulated processor a tenth of a boot and more, and
//! no check looks at it.
//!
//! In: nothing. Out: an overlay with links to `/dev/null`, which mask units and generators (systemd.unit(5),
//! systemd.generator(7)), and a program that does nothing. Cannot fail.
//!
//! Nothing of udev, of the journal or of what our units are ordered by.

use crate::vm::Overlay;

/// They run again at each `daemon-reload`, and there is no fstab, no disk and no init script to find.
const GENERATORS: [&str; 13] = [
    "systemd-bless-boot-generator",
    "systemd-cryptsetup-generator",
    "systemd-debug-generator",
    "systemd-fstab-generator",
    "systemd-getty-generator",
    "systemd-gpt-auto-generator",
    "systemd-hibernate-resume-generator",
    "systemd-integritysetup-generator",
    "systemd-rc-local-generator",
    "systemd-run-generator",
    "systemd-system-update-generator",
    "systemd-sysv-generator",
    "systemd-veritysetup-generator",
];

/// Caches of a first boot, terminals, logins, timers of the package manager, modules nobody uses here.
const UNITS: [&str; 29] = [
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "console-getty.service",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty.target",
    "kmod-static-nodes.service",
    "ldconfig.service",
    "modprobe@.service",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    "systemd-boot-system-token.service",
    "systemd-firstboot.service",
    "systemd-hwdb-update.service",
    "systemd-journal-catalog-update.service",
    "systemd-logind.service",
    "systemd-machine-id-commit.service",
    "systemd-random-seed.service",
    "systemd-sysusers.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-update-utmp.service",
    "systemd-user-sessions.service",
];

/// udev starts it for every interface that comes, 500 veths too; there are no settings to apply.
const SYSCTL: &str = "/usr/lib/systemd/systemd-sysctl";

/// Masks them.
pub(crate) fn over(overlay: Overlay) -> Overlay {
    let generators = GENERATORS.iter().map(|name| format!("/etc/systemd/system-generators/{name}"));
    let units = UNITS.iter().map(|name| format!("/etc/systemd/system/{name}"));
    let overlay = overlay.link(SYSCTL, "/usr/bin/true");
    generators.chain(units).fold(overlay, |overlay, path| overlay.link(&path, "/dev/null"))
}
