. /bt/lib.sh
masked nodebpf-apply.service nodebpf-gate.service
came_up
# What the gate would have waited for.
expect bt-guard refused
[ "$(runs)" = 0 ] || fail "a masked unit was started"
