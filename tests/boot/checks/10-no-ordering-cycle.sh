. /bt/lib.sh
journalctl --sync
if journalctl -b -o cat | grep -i 'ordering cycle\|found dependency on\|job.*deleted to break'; then
    fail "systemd broke an ordering cycle"
fi
for unit in nodebpf-early nodebpf nodebpf-gate; do
    [ "$(systemctl show -P Result "$unit.service")" = success ] || fail "$unit: $(journalctl -o cat -u "$unit" | tail -5)"
    systemctl is-active --quiet "$unit" || fail "$unit is not active: $(journalctl -o cat -u "$unit" | tail -5)"
done
systemctl is-active --quiet nodebpf-apply.path nodebpf-apply.timer || fail "path or timer is not active"
[ "$(systemctl is-system-running)" != degraded ] || fail "failed units: $(systemctl --failed --plain --no-legend)"
