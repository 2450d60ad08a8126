. /bt/lib.sh
calm
# Each start of a unit has an id of its own, and each pin an inode.
node() {
    local units
    units=$(systemctl list-units --type=service,target,path,timer --state=active --plain --no-legend | awk '{ print $1 }')
    systemctl show -p Id -p InvocationID $units
    find /sys/fs/bpf/nodebpf /sys/fs/bpf/xdp -printf '%p %i\n' | sort
    ip -j link | jq -c '.[] | select(.xdp) | [.ifname, .xdp.prog.id]'
}
before=$(node)
runs=$(runs)
grep -q 'Id=kubelet.service' <<< "$before" && grep -q '/sys/fs/bpf/nodebpf/bt-guard/' <<< "$before" || fail "too little runs: $before"
# Other bytes, in place of the old ones by a rename: the daemon's way.
cp "$loader" "$loader.new"
printf '\0' >> "$loader.new"
mv "$loader.new" "$loader"
systemctl daemon-reload
systemctl restart nodebpf-apply.service || fail "$(journalctl -o cat -u nodebpf-apply | tail -5)"
[ "$(runs)" = $((runs + 1)) ] || fail "not one run, but $(($(runs) - runs))"
diff <(echo "$before") <(node) || fail "more than the one service was started again, or attached again"
