. /bt/lib.sh
calm
nic=$(cat /run/bt/nic)
ip -j route show default | jq -e '.[0].dev == "br-ex"' > /dev/null || fail "br-ex has no default route: $(ip route)"
where() { "$loader" status --json | jq -c '[.streams[] | select(.stream == "bt-uplink") | .. | .interface? // empty] | unique'; }
behind=$(where)
[ "$behind" = "[\"$nic\"]" ] || fail "behind br-ex primary is $behind, not $nic: $("$loader" status)"
links() { find /sys/fs/bpf/nodebpf/bt-uplink -name '*tc*' | sort; }
pins=$(links)
/bt/br-ex down
systemctl start nodebpf-apply.service
[ "$(where)" = "$behind" ] || fail "without br-ex primary is $(where), with it $behind"
expect bt-uplink attached
/bt/br-ex up
systemctl start nodebpf-apply.service
[ "$(where)" = "$behind" ] || fail "with br-ex again primary is $(where), it was $behind"
[ "$(links)" = "$pins" ] || fail "pins changed from $pins to $(links)"
expect bt-uplink attached
