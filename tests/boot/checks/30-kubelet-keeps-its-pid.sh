. /bt/lib.sh
calm
pid=$(systemctl show -P MainPID kubelet.service)
good=0 refused=0
for n in $(seq 20); do
    if [ $((n % 4)) = 0 ]; then
        if ship "/bt/streams/churn-bad$((n / 4)).bundle" bt-churn; then fail "a damaged bundle was not refused"; fi
        refused=$((refused + 1))
    else
        good=$((good + 1))
        ship "/bt/streams/churn-$good.bundle" bt-churn || fail "revision $good: $(journalctl -o cat -u nodebpf-apply | tail -5)"
        is=$("$loader" status --json | jq '.streams[] | select(.stream == "bt-churn") | .revision')
        [ "$is" = "$good" ] || fail "revision $good was shipped, $is runs"
    fi
    [ "$(systemctl show -P MainPID kubelet.service)" = "$pid" ] || fail "kubelet has another PID after update $n"
done
[ "$good $refused" = "15 5" ] || fail "$good updates and $refused refused"
[ "$(systemctl show -P NRestarts kubelet.service)" = 0 ] || fail "kubelet was restarted"
