. /bt/lib.sh
nic=$(cat /run/bt/nic)
# The witness stood between network-pre.target and the network.
jq -e --arg n "$nic" '.[] | select(.ifname == $n) | .xdp.prog.id' /run/bt/at-network-pre.json \
    || fail "no XDP on $nic before the network: $(cat /run/bt/at-network-pre.json)"
early=$(systemctl show -P ExecMainExitTimestampMonotonic nodebpf-early.service)
pre=$(systemctl show -P ActiveEnterTimestampMonotonic network-pre.target)
[ "$early" -lt "$pre" ] || fail "nodebpf-early ended at $early, network-pre was reached at $pre"
