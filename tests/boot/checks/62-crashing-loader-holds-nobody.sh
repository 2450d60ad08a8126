. /bt/lib.sh
mv "$loader" /run/bt/loader
printf '#!/bin/sh\nkill -SEGV $$\n' > "$loader"
chmod 755 "$loader"
took=$(start_again) || { mv /run/bt/loader "$loader"; fail "$took"; }
result=$(systemctl show -P Result nodebpf.service)
before=$(runs)
touch /run/nodebpf/dirty
sleep 3
after=$(runs)
mv -f /run/bt/loader "$loader"
echo "kubelet started after $took s; $((after - before)) runs in 3 s"
[ "$took" -lt "$hold" ] || fail "kubelet waited $took s for a loader that crashes"
case $result in signal | core-dump) ;; *) fail "the loader did not crash: nodebpf.service is '$result'" ;; esac
[ $((after - before)) -ge 1 ] || fail "the changed interface started no run"
[ $((after - before)) -le 2 ] || fail "a loader that crashes was started $((after - before)) times"
