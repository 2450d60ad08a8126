. /bt/lib.sh
cp /bt/streams/guard.bundle "$bundles/bt-guard.bundle"
cp /bt/streams/open-bad.bundle "$bundles/bt-open.bundle"
took=$(start_again) || fail "$took"
echo "kubelet started after $took s"
[ "$took" -lt "$hold" ] || fail "kubelet waited $took s for an open stream"
expect bt-guard attached
expect bt-open refused
cp /bt/streams/open.bundle "$bundles/bt-open.bundle"
