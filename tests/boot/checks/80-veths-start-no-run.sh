. /bt/lib.sh
calm
before=$(runs)
for n in $(seq 250); do echo "link add bv$n type veth peer name bw$n"; done | ip -batch -
calm
after=$(runs)
[ "$before" = "$after" ] || fail "500 veths started $((after - before)) runs"
