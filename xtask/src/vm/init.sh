#!/bin/busybox sh
# The first process of a guest. `cargo xtask vm` puts it at /init and the work of this boot at /guest/run.
# ttyS0 is the console of the kernel, ttyS1 carries what /guest/run prints, so neither damages the other.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/ TERM=dumb

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t securityfs security /sys/kernel/security
mount -t debugfs debug /sys/kernel/debug
mount -t tracefs tracing /sys/kernel/tracing
# Opening it loads the module; on a node systemd makes such nodes.
mkdir -p /dev/net
mknod /dev/net/tun c 10 200
ip link set lo up

# No line editing on the way out: a line feed stays one.
stty -F /dev/ttyS1 raw -echo
echo UP >/dev/ttyS1
sh /guest/run </dev/null >/dev/ttyS1 2>&1
status=$?
echo "STATUS $status" >/dev/ttyS1
[ "$status" = 0 ] || dmesg | tail -n 60 >/dev/ttyS0

# The machine was started with reboot=t and -no-reboot: this ends QEMU.
reboot -f
