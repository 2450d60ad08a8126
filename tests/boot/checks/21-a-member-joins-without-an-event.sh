. /bt/lib.sh
# Why members that join a bond wait for the timer: docs/machineconfig.md. The day this fails, the udev rule can do better.
ip link add bt-tb0 type bond
ip link add bt-td0 type dummy
udevadm settle
udevadm monitor --kernel --udev > /run/bt/events 2>&1 &
monitor=$!
sleep 1
ip link set bt-td0 master bt-tb0
sleep 1
ip -j link show bt-td0 | jq -e '.[0].master == "bt-tb0"' || fail "the member did not join: $(ip link show bt-td0)"
ip link set bt-tb0 up
ip link set bt-td0 up
sleep 1
ip link set bt-td0 nomaster
ip link add bt-control type dummy
sleep 1
kill $monitor
wait $monitor || true
for device in bt-tb0 bt-td0 bt-control; do ip link del "$device"; done
grep -q '^UDEV.*/net/bt-control ' /run/bt/events || fail "the monitor saw nothing: $(cat /run/bt/events)"
! grep 'bt-t[bd]0' /run/bt/events || fail "joining a bond sends an event now"
