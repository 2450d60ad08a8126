. /bt/lib.sh
cd /etc/systemd/system
for unit in nodebpf.service nodebpf-gate.service nodebpf-early.service; do
    mv "$unit" "/run/bt/$unit"
    ln -s /dev/null "$unit"
done
systemctl daemon-reload
is=$(systemctl show -P LoadState nodebpf.service nodebpf-gate.service nodebpf-early.service | sort -u | xargs)
took=$(start_again) || true
for unit in nodebpf.service nodebpf-gate.service nodebpf-early.service; do mv -f "/run/bt/$unit" "$unit"; done
systemctl daemon-reload
[ "$is" = masked ] || fail "the units are '$is'"
[ "$took" -lt "$hold" ] 2>/dev/null || fail "masked units: $took"
