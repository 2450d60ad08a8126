. /bt/lib.sh
mv /etc/nodebpf /run/bt/etc-nodebpf
mv "$loader" /run/bt/loader
one=$(start_again) || true
mv /run/bt/loader "$loader"
two=$(start_again) || true
mv /run/bt/etc-nodebpf /etc/nodebpf
[ "$one" -lt "$hold" ] 2>/dev/null || fail "without loader and directory: $one"
[ "$two" -lt "$hold" ] 2>/dev/null || fail "without the directory: $two"
