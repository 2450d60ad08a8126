. /bt/lib.sh
masked nodebpf.service
came_up
# What the masked run would have attached, the next one does.
mkdir -p /etc/nodebpf/bundles
cp /bt/trust-required.json /etc/nodebpf/trust.json
cp /bt/streams/guard.bundle "$bundles/bt-guard.bundle"
calm
systemctl restart nodebpf-apply.service || fail "$(journalctl -o cat -u nodebpf-apply | tail -5)"
expect bt-guard attached
