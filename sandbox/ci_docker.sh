#!/usr/bin/env bash
# Make a Docker daemon answer, for CI and for a bare machine: installs docker.io and iptables if they
# are missing, starts dockerd if none answers, and waits for it. Can be run again; needs root.
# Log: ${AGENTKD_DOCKERD_LOG:-/var/log/agentkd-dockerd.log}
set -euo pipefail

log="${AGENTKD_DOCKERD_LOG:-/var/log/agentkd-dockerd.log}"

answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

if answers; then
    echo "dockerd $(docker version --format '{{.Server.Version}}') answers"
    exit 0
fi
if ! command -v dockerd >/dev/null || ! command -v iptables >/dev/null; then
    echo "installing docker.io and iptables (log: $log)"
    {
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            docker.io iptables
    } >>"$log" 2>&1
fi
if ! answers; then
    # A daemon that was killed leaves its pid file, which stops the next one.
    pid="$(cat /var/run/docker.pid 2>/dev/null || true)"
    if [ -n "$pid" ] && ! ps -o comm=,stat= -p "$pid" 2>/dev/null | grep -q '^dockerd  *[^Z]'; then
        rm -f /var/run/docker.pid
    fi
    # No bridge and no firewall rules: sandboxes have no network.
    setsid nohup dockerd --bridge=none --iptables=false >>"$log" 2>&1 </dev/null &
fi
for _ in $(seq 60); do
    if answers; then
        echo "dockerd $(docker version --format '{{.Server.Version}}') answers (log: $log)"
        exit 0
    fi
    sleep 1
done
echo "dockerd did not answer within 60 s; the end of $log:" >&2
tail -20 "$log" >&2
exit 1
