. /bt/lib.sh
# Its moment may come meanwhile, and that is a run.
systemctl stop nodebpf-apply.timer
calm
before=$(runs)
for n in $(seq 100); do
    [ "$n" = 50 ] && echo "link add bt-bond1 type bond"
    echo "link add bx$n type veth peer name by$n"
done | ip -batch -
calm
sleep 1
calm
count=$(($(runs) - before))
echo "runs for 200 veths with one bond: $count"
[ "$count" -ge 1 ] && [ "$count" -le 5 ] || fail "200 veths with one bond started $count runs"
