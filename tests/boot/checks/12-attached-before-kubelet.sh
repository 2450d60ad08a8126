. /bt/lib.sh
for stream in bt-early bt-uplink bt-open bt-guard bt-patch; do
    is=$(jq -r --arg s "$stream" '.streams[] | select(.stream == $s) | .state' /run/bt/at-kubelet.json)
    [ "$is" = attached ] || fail "$stream was '$is' when kubelet started: $(cat /run/bt/at-kubelet.json)"
done
# This kernel has what the stream works around.
is=$(jq -r '.streams[] | select(.stream == "bt-fixed") | .state' /run/bt/at-kubelet.json)
[ "$is" = notApplicable ] || fail "bt-fixed was '$is' when kubelet started: $(cat /run/bt/at-kubelet.json)"
[ ! -e /sys/fs/bpf/nodebpf/bt-fixed ] || fail "bt-fixed has pins: $(find /sys/fs/bpf/nodebpf/bt-fixed)"
ended=$(systemctl show -P ExecMainExitTimestampMonotonic nodebpf.service)
kubelet=$(systemctl show -P ExecMainStartTimestampMonotonic kubelet.service)
[ "$ended" -lt "$kubelet" ] || fail "nodebpf ended at $ended, kubelet started at $kubelet"
# No early program was attached anew by the full run.
nic=$(cat /run/bt/nic)
then=$(jq --arg n "$nic" '.[] | select(.ifname == $n) | .xdp.prog.id' /run/bt/at-network-pre.json)
now=$(ip -j link show "$nic" | jq '.[0].xdp.prog.id')
[ "$then" = "$now" ] || fail "XDP on $nic was program $then before the network and is $now now"
