. /bt/lib.sh
[ ! -e /etc/nodebpf ] || fail "/etc/nodebpf is there"
came_up
# The bridge that came with the boot started a run.
[ "$(runs)" -ge 1 ] || fail "the changed interface started no run"
ours_ran nodebpf-early nodebpf-gate nodebpf-apply
now=$("$loader" status --json)
jq -e '.streams == [] and .problems == null and .trust.reason.code == "NB1109"' <<< "$now" || fail "$now"
