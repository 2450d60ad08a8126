. /bt/lib.sh
cp /bt/trust-required.json /etc/nodebpf/trust.json
cp /bt/streams/guard-bad.bundle "$bundles/bt-guard.bundle"
held=$(start_again) || fail "$held"
echo "kubelet was held for $held s"
[ "$held" -ge "$hold" ] || fail "kubelet waited $held s; holdSeconds is $hold"
[ "$held" -lt $((hold * 2)) ] || fail "kubelet waited $held s; holdSeconds is $hold"
journalctl --sync
journalctl -o cat -u nodebpf-gate | grep -q bt-guard || fail "the gate did not say what was missing"
