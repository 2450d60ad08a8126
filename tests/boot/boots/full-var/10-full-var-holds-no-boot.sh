. /bt/lib.sh
if mkdir /var/lib/bt-room 2> /dev/null; then fail "/var has room for one more folder"; fi
if echo x 2> /dev/null > /var/full-too; then fail "/var has room for one more file"; fi
came_up
ours_ran nodebpf-early nodebpf
for stream in bt-early bt-uplink bt-open bt-patch; do expect "$stream" attached; done
codes=$("$loader" status --json | jq -c '[.problems[].code] | unique')
[ "$codes" = '["NB1116"]' ] || fail "problems of the node: $codes"
