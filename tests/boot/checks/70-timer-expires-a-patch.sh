. /bt/lib.sh
systemctl start nodebpf-apply.service || fail "a run fails: $("$loader" status)"
expect bt-patch attached
systemctl is-active --quiet nodebpf-apply.timer || fail "the timer is not active"
before=$(runs)
triggered=$(systemctl show -P LastTriggerUSec nodebpf-apply.timer)
# A clock that was set past the date: the timer's next moment has come.
date -u -s '2031-01-01 00:00:00' > /dev/null
# As a time server would say it: a loader does not believe a clock that nobody vouches for.
adjtimex --status 0 --maxerror 1000 --esterror 1000
for _ in $(seq 90); do [ "$(state bt-patch)" = expired ] && break; sleep 5; done
expect bt-patch expired
[ "$(runs)" -gt "$before" ] || fail "nobody started a run"
[ "$(systemctl show -P LastTriggerUSec nodebpf-apply.timer)" != "$triggered" ] || fail "it was not the timer"
[ ! -e /sys/fs/bpf/nodebpf/bt-patch ] || fail "pins are left"
