"""Find and remove what a crashed host left: containers, folders, cgroups.

Normally nothing is: a guest ends when its channel closes, and the kernel closes that with the
host's last breath. This is for a daemon that died as well, or a machine that lost power.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from agentkd_sandbox import cgroups
from agentkd_sandbox.backends import process
from agentkd_sandbox.guest import removal

log = logging.getLogger(__name__)


def collect_garbage() -> Iterator[str]:
    """Remove leftovers of dead hosts on this machine; yields a line for each."""
    yield from _containers()
    for folder in process.leftover_folders():
        removal.remove(str(folder))
        yield f"folder {folder}"
    for group in cgroups.leftovers():
        cgroups.remove([str(group)])
        yield f"cgroup {group}"


def _containers() -> Iterator[str]:
    try:
        import docker
    except ImportError:
        return
    from agentkd_sandbox.backends.docker import orphans

    try:
        client = docker.from_env(timeout=30)
    except docker.errors.DockerException:
        log.warning("docker: no daemon answers, so containers were not looked for")
        return
    try:
        for container in orphans(client):
            container.remove(force=True)
            yield f"container {container.short_id}"
    except docker.errors.APIError as error:
        log.warning("docker: %s", error.explanation)
    finally:
        client.close()
