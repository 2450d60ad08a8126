. /bt/lib.sh
calm
expect bt-bond pending
before=$(runs)
ip link add bt-bond0 type bond
for _ in $(seq 100); do [ "$(state bt-bond)" = attached ] && break; sleep 0.2; done
expect bt-bond attached
calm
echo "runs for one bond: $(($(runs) - before))"
