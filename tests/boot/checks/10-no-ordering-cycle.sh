. /bt/lib.sh
journalctl --sync
log=$(journalctl -b -o cat)
# The journal has what systemd said when it made the transaction of the boot.
grep -q 'Queued start job for default target' <<< "$log" || fail "the journal does not reach back to the boot's jobs"
if grep -i 'ordering cycle\|found dependency on\|job.*deleted to break' <<< "$log"; then
    fail "systemd broke an ordering cycle"
fi
ours_ran nodebpf-early nodebpf nodebpf-gate
for unit in nodebpf-early nodebpf nodebpf-gate; do
    systemctl is-active --quiet "$unit" || fail "$unit is not active: $(journalctl -o cat -u "$unit" | tail -5)"
done
systemctl is-active --quiet nodebpf-apply.path nodebpf-apply.timer || fail "path or timer is not active"
is=$(systemctl is-system-running) || fail "the system is $is: $(systemctl --failed --plain --no-legend)"
