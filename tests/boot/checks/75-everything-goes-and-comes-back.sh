. /bt/lib.sh
# Before the veths: systemd reads all its units at each step, and has some for every interface.
# docs/guides/removal.md, as the machine config daemon goes through it on a node (MCO, deleteStaleData): it stops no unit.
systemctl start nodebpf-apply.timer nodebpf-apply.path
calm
# Of checks that took the loader away.
systemctl reset-failed
systemctl restart nodebpf-apply.service || fail "$(journalctl -o cat -u nodebpf-apply | tail -5)"
expect bt-guard attached
expect bt-open attached
pid=$(systemctl show -P MainPID kubelet.service)
(cd / && tar -cf /run/bt/node.tar etc/nodebpf etc/systemd/system/nodebpf* etc/udev/rules.d/90-nodebpf.rules usr/local/bin/nodebpf-*)
# The streams, under the policy of `install`.
rm "$bundles"/*.bundle
systemctl daemon-reload
systemctl restart nodebpf-apply.service || fail "$(journalctl -o cat -u nodebpf-apply | tail -5)"
left=$(ls /sys/fs/bpf/nodebpf)
[ "$left" = bt-guard ] || fail "not one stream is kept, that with 'intent: security', but: $left"
# The installation, under the policy of the guide.
rm /etc/nodebpf/trust.json "$loader" /usr/local/bin/nodebpf-diag /etc/udev/rules.d/90-nodebpf.rules
cd /etc/systemd/system
for unit in nodebpf*.{service,path,timer}; do
    systemctl preset "$unit"
    rm "$unit"
done
systemctl daemon-reload
before=$(runs)
touch /run/nodebpf/dirty
sleep 5
[ "$(runs)" = "$before" ] || fail "the service that is gone was started"
failed=$(systemctl --failed --plain --no-legend | awk '{ print $1 }')
[ "$failed" = nodebpf-apply.timer ] || fail "not the timer alone is listed as failed, but: $failed"
systemctl reset-failed nodebpf-apply.timer
[ "$(systemctl show -P MainPID kubelet.service)" = "$pid" ] || fail "kubelet has another PID"
# Kubelet and all that it waits for start without us.
systemctl stop kubelet crio kubelet-dependencies.target
systemctl start kubelet.service || fail "kubelet does not start: $(journalctl -b -n 30 --no-pager)"
is=$(systemctl is-system-running) || fail "the system is $is: $(systemctl --failed --plain --no-legend)"
# An installation on a node that runs: one action of the policy starts all that is needed, and nobody boots.
systemctl stop nodebpf-apply.path nodebpf 2> /dev/null || true
pid=$(systemctl show -P MainPID kubelet.service)
tar -C / -xf /run/bt/node.tar
systemctl enable nodebpf-early.service nodebpf.service nodebpf-gate.service nodebpf-apply.path nodebpf-apply.timer
systemctl daemon-reload
systemctl restart nodebpf-apply.service || fail "$(journalctl -o cat -u nodebpf-apply | tail -5)"
expect bt-open attached
systemctl is-active --quiet nodebpf-apply.timer || fail "the timer was not started"
before=$(runs)
touch /run/nodebpf/dirty
for _ in $(seq 50); do [ "$(runs)" -gt "$before" ] && break; sleep 0.2; done
[ "$(runs)" -gt "$before" ] || fail "a changed interface starts no run"
[ "$(systemctl show -P MainPID kubelet.service)" = "$pid" ] || fail "kubelet has another PID"
