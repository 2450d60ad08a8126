. /bt/lib.sh
masked nodebpf-apply.service
came_up
[ "$(runs)" = 0 ] || fail "a masked unit was started"
