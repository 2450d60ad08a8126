. /bt/lib.sh
calm
expect bt-open attached
rm "$bundles/bt-open.bundle"
systemctl restart nodebpf-apply.service
[ ! -e /sys/fs/bpf/nodebpf/bt-open ] || fail "pins are left: $(find /sys/fs/bpf/nodebpf/bt-open)"
is=$(state bt-open)
[ "$is" != attached ] || fail "its bundle is gone and bt-open is '$is'"
cp /bt/streams/open.bundle "$bundles/bt-open.bundle"
systemctl restart nodebpf-apply.service
expect bt-open attached
