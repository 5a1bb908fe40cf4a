#!/usr/bin/env bash
# Make a Docker daemon answer that knows gVisor, for CI and for a bare machine: installs docker.io,
# iptables and runsc if they are missing, registers runsc, starts dockerd if none answers, and waits
# for it. Can be run again; needs root. An /etc/docker/daemon.json that is there is left as it is.
# Log: ${AGENTKD_DOCKERD_LOG:-/var/log/agentkd-dockerd.log}
set -euo pipefail

log="${AGENTKD_DOCKERD_LOG:-/var/log/agentkd-dockerd.log}"

answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

missing=""
command -v dockerd >/dev/null || missing="docker.io"
command -v iptables >/dev/null || missing="$missing iptables"
command -v runsc >/dev/null || missing="$missing runsc"
if [ -n "$missing" ]; then
    echo "installing $missing (log: $log)"
    {
        apt-get update -qq
        # shellcheck disable=SC2086
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
    } >>"$log" 2>&1
fi
if [ ! -e /etc/docker/daemon.json ]; then
    mkdir -p /etc/docker
    # No network stack either: older releases of runsc do not start beside newer kernels with one.
    printf '{"runtimes": {"runsc": {"path": "%s", "runtimeArgs": ["--network=none"]}}}\n' \
        "$(command -v runsc)" >/etc/docker/daemon.json
    if answers; then
        kill -HUP "$(cat /var/run/docker.pid)"
    fi
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
