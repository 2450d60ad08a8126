# What the checks share. Sourced.
loader=/usr/local/bin/nodebpf-loader
bundles=/etc/nodebpf/bundles
# holdSeconds of the trust file that requires a stream: long enough for a slow emulator not to come near it by itself.
hold=60

fail() {
    echo "$*"
    exit 1
}

# State of a stream in the last report; empty if it is not there.
state() { "$loader" status --json | jq -r --arg s "$1" '.streams[] | select(.stream == $s) | .state'; }

expect() { # STREAM STATE
    local is
    is=$(state "$1")
    [ "$is" = "$2" ] || fail "$1 is '$is', not '$2': $("$loader" status 2>&1 | head -30)"
}

# The boot has come to its end, kubelet runs and was not held, and nothing that is not ours has failed.
came_up() {
    local failed since
    systemctl is-active --quiet default.target || fail "the boot did not end: $(systemctl list-jobs --no-legend)"
    systemctl is-active --quiet kubelet.service || fail "kubelet does not run: $(systemctl status --no-pager kubelet)"
    since=$(systemctl show -P ExecMainStartTimestampMonotonic kubelet.service)
    [ "$since" -lt $((hold * 1000000)) ] || fail "kubelet started $since us after the kernel; holdSeconds is $hold"
    failed=$(systemctl --failed --plain --no-legend | grep -v '^nodebpf') || true
    [ -z "$failed" ] || fail "failed units: $failed"
}

masked() { # UNIT...
    local unit is
    for unit; do
        is=$(systemctl show -P LoadState "$unit")
        [ "$is" = masked ] || fail "$unit is '$is'"
    done
}

# Services of ours did their work.
ours_ran() { # SERVICE...
    local unit
    for unit; do
        [ "$(systemctl show -P Result "$unit.service")" = success ] \
            && [ "$(systemctl show -P ExecMainExitTimestampMonotonic "$unit.service")" -gt 0 ] \
            || fail "$unit: $(journalctl -o cat -u "$unit" | tail -5)"
    done
}

# How often nodebpf-apply.service was started, by the journal.
runs() {
    journalctl --sync
    journalctl -q -o cat UNIT=nodebpf-apply.service MESSAGE_ID=7d4958e842da4a758f6c1cdc7b36dcc5 | wc -l
}

# Waits until no run is under way and none is due.
calm() {
    udevadm settle --timeout=60
    for _ in $(seq 150); do
        [ -e /run/nodebpf/dirty ] || [ "$(systemctl is-active nodebpf-apply.service)" = activating ] || return 0
        sleep 0.2
    done
    fail "a run does not end: $(systemctl status --no-pager nodebpf-apply.service | head -20)"
}

# What the machine config daemon does for a changed bundle: replace the file, restart the service, take it back on failure.
ship() { # BUNDLE STREAM
    local place="$bundles/$2.bundle"
    if [ -e "$place" ]; then cp "$place" /run/bt/before; else rm -f /run/bt/before; fi
    cp "$1" "$place.new" && mv "$place.new" "$place"
    systemctl daemon-reload
    if systemctl restart nodebpf-apply.service; then return 0; fi
    if [ -e /run/bt/before ]; then mv /run/bt/before "$place"; else rm "$place"; fi
    return 1
}

# Kubelet and all that it waits for start as at boot, on a node that has attached nothing yet. Prints the seconds it took.
start_again() {
    systemctl stop kubelet crio kubelet-dependencies.target nodebpf nodebpf-gate nodebpf-early nodebpf-apply.path \
        nodebpf-apply.timer 2>/dev/null || true
    rm -rf /run/nodebpf /sys/fs/bpf/nodebpf /sys/fs/bpf/xdp
    # Programs on XDP hang on no pin.
    for device in $(ip -j link | jq -r '.[] | select(.xdp) | .ifname'); do
        ip link set dev "$device" xdpgeneric off
    done
    systemctl reset-failed
    local from to
    from=$(date +%s%N)
    systemctl start nodebpf-early.service || true
    systemctl start kubelet.service || fail "kubelet does not start: $(journalctl -b -n 30 --no-pager)"
    to=$(date +%s%N)
    systemctl start nodebpf-apply.path nodebpf-apply.timer || true
    systemctl is-active --quiet kubelet.service || fail "kubelet is not running"
    echo $(((to - from) / 1000000000))
}
