. /bt/lib.sh
mv /var/lib/nodebpf /run/bt/state
mount -t tmpfs -o size=4k,nr_inodes=2 bt /var/lib
echo x > /var/lib/full
full=yes
if mkdir /var/lib/bt-room 2> /dev/null; then full=no; fi
took=$(start_again) || true
result=$(systemctl show -P Result nodebpf.service)
is=$(state bt-open)
umount /var/lib
rm -rf /var/lib/nodebpf
mv /run/bt/state /var/lib/nodebpf
[ "$full" = yes ] || fail "/var had room for one more folder"
[ "$took" -lt "$hold" ] 2>/dev/null || fail "with a full /var: $took"
[ "$result $is" = "success attached" ] || fail "with a full /var nodebpf.service is '$result' and bt-open '$is'"
