. /bt/lib.sh
mv "$loader" /run/bt/loader
took=$(start_again) || true
result=$(systemctl show -P Result nodebpf.service)
mv /run/bt/loader "$loader"
[ "$took" -lt "$hold" ] 2> /dev/null || fail "without the loader: $took"
[ "$result" = exit-code ] || fail "there was a loader: nodebpf.service is '$result'"
# What docs/guides/emergency-stop.md says of a node whose units a MachineConfig brought.
if said=$(systemctl mask nodebpf-gate.service 2>&1); then fail "systemctl mask does its work now"; fi
[[ $said == *"already exists"* ]] || fail "$said"
