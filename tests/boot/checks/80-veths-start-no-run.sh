. /bt/lib.sh
# Its moment may come meanwhile, and that is a run.
systemctl stop nodebpf-apply.timer
calm
before=$(runs)
seen() { find /run/udev/data -name 'n*' | wc -l; }
known=$(seen)
for n in $(seq 250); do echo "link add bv$n type veth peer name bw$n"; done | ip -batch -
calm
after=$(runs)
[ $(($(seen) - known)) -ge 500 ] || fail "udev has seen $(($(seen) - known)) of 500 veths"
[ "$before" = "$after" ] || fail "500 veths started $((after - before)) runs"
