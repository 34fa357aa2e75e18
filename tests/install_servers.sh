#!/usr/bin/env bash
# What the tests need beside PyPI's packages. As root on Debian it is installed; else one line says
# what is left out.
set -euo pipefail

missing=()
[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || missing+=(rabbitmq-server)
command -v systemd-analyze >/dev/null || missing+=(systemd)
command -v docker-compose >/dev/null || missing+=(docker-compose)
command -v chromium >/dev/null || missing+=(chromium)
command -v promtool >/dev/null || missing+=(prometheus)
if [ ${#missing[@]} = 0 ]; then
    exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "left out: tests that need Debian's ${missing[*]}; install them to have those too" >&2
    exit 0
fi

# The tests start a server of their own: the packaged service stays down.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
install=(apt-get install -y -qq --no-install-recommends "${missing[@]}")
log=$(mktemp)
if ! "${install[@]}" >"$log" 2>&1; then
    apt-get update -qq >>"$log" 2>&1
    "${install[@]}" >>"$log" 2>&1 || { cat "$log" >&2; exit 1; }
fi
rm -f "$log"
