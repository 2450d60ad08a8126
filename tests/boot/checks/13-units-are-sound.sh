. /bt/lib.sh
# Beside the platform's names and Debian's units; warnings count.
said=$(systemd-analyze verify --man=no /etc/systemd/system/nodebpf*.{service,path,timer} 2>&1) || fail "systemd refuses: $said"
! grep nodebpf <<< "$said" || fail "systemd warns: $said"
# The judge is awake.
sed 's/^Type=oneshot/Type=sometimes/' /etc/systemd/system/nodebpf.service > /run/bt/nodebpf-bad.service
systemd-analyze verify --man=no /run/bt/nodebpf-bad.service 2>&1 | grep sometimes || fail "systemd did not look"
