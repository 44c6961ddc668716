#!/bin/sh
# Before removing, and not before an upgrade (deb says upgrade, rpm 1).
set -e
[ -d /run/systemd/system ] || exit 0
case "$1" in
remove | 0) systemctl disable --now pollux.service ;;
esac
