"""Guests as containers, spoken to over the attach stream: no port, no host folder, no exec per
call.

Tiers: `docker-ns` (the guest makes namespaces for every episode inside the container; needs a
kernel and a security module that let it), `docker-uid` (an episode is a uid of its own without
any capability; one session per container at a time), `docker-runsc` (gVisor; one session per
container). `docker-ns` is tried first; the other one is logged as a warning.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentkd_sandbox import cgroups
from agentkd_sandbox.errors import (
    BackendUnavailable,
    ImageMissing,
    InfrastructureError,
    SandboxError,
    SandboxLost,
)
from agentkd_sandbox.guest import seccomp
from agentkd_sandbox.guests import Guest, bootstrap
from agentkd_sandbox.image import build_image, image_name
from agentkd_sandbox.limits import MIB, Limits
from agentkd_sandbox.link import Link
from agentkd_sandbox.profiles import SITE, Profile

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

log = logging.getLogger(__name__)

OWNER_LABEL = "agentkd.sandbox.owner"
NEEDED_BY_SUPERVISOR = {
    "mount", "umount2", "unshare", "setns", "pidfd_open", "seccomp", "move_mount", "fsopen",
    "fsconfig", "fsmount", "kcmp",
}  # fmt: skip
INSTALL = (
    "docker: {why}. Install and start it: apt-get install docker.io && systemctl start docker "
    "(or run dockerd); DOCKER_HOST names another daemon"
)
GVISOR = (
    "For gVisor: apt-get install runsc, write to /etc/docker/daemon.json "
    '{"runtimes": {"runsc": {"path": "/usr/bin/runsc", "runtimeArgs": ["--network=none"]}}}, '
    "and restart the daemon"
)
HOST_TASKS_PER_TASK = 16
"""A runtime such as gVisor keeps several threads on the host for one inside."""


@dataclass
class DockerBackend:
    """Containers of `image`; without one, the default image for the profile is built when
    missing.
    """

    image: str | None = None
    runtime: str | None = None
    """An OCI runtime that the daemon knows, such as "runsc"."""
    tiers: tuple[str, ...] = ("ns", "uid")
    python: str = "python3"
    """The interpreter's name inside the image."""
    _client: DockerClient | None = field(default=None, init=False)
    _tier: str = field(default="", init=False)

    async def probe(self) -> str:
        """Whether a daemon answers; raises BackendUnavailable with what to install if none does."""
        await asyncio.to_thread(self.connect)
        return "docker"

    async def close(self) -> None:
        """Close the connections to the daemon."""
        client, self._client = self._client, None
        if client is not None:
            await asyncio.to_thread(client.close)

    def version(self) -> str:
        """The daemon and its parts, after `probe`."""
        assert self._client is not None
        version = self._client.version()
        return ", ".join(f"{x['Name']} {x['Version']}" for x in version.get("Components", []))

    def runtimes(self) -> list[str]:
        """The OCI runtimes that the daemon knows, after `probe`."""
        assert self._client is not None
        return list(self._client.info().get("Runtimes") or {})

    async def start(self, profile: Profile, limits: Limits, sessions: int) -> Guest:
        """Start a container in the best tier that works."""
        client = await asyncio.to_thread(self.connect)
        image = await asyncio.to_thread(self._find_image, client, profile)
        if self.runtime is not None:
            return await self._start(client, image, "uid", profile, limits, sessions)
        if self._tier:
            return await self._start(client, image, self._tier, profile, limits, sessions)
        refusals = []
        for tier in self.tiers:
            try:
                guest = await self._start(client, image, tier, profile, limits, sessions)
            except InfrastructureError as error:
                refusals.append(f"docker-{tier}: {error}")
                continue
            if refusals:
                log.warning("sandbox tier %s, because %s", guest.tier, "; ".join(refusals))
            self._tier = tier
            return guest
        raise InfrastructureError("\n".join(refusals))

    def connect(self) -> DockerClient:
        """The SDK client; raises BackendUnavailable with what to install."""
        if self._client is not None:
            return self._client
        try:
            import docker
        except ImportError:
            raise BackendUnavailable(
                "docker: the SDK is not installed: pip install docker"
            ) from None
        try:
            _knock(os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock")
        except OSError as error:
            raise BackendUnavailable(INSTALL.format(why=f"no daemon answers ({error})")) from None
        try:
            client = docker.from_env(timeout=60)
        except docker.errors.DockerException as error:
            raise BackendUnavailable(INSTALL.format(why=f"no daemon answers ({error})")) from None
        try:
            client.ping()
            runtimes = client.info().get("Runtimes") or {}
        except Exception as error:
            client.close()
            raise BackendUnavailable(INSTALL.format(why=f"no daemon answers ({error})")) from None
        if self.runtime is not None and self.runtime not in runtimes:
            client.close()
            raise BackendUnavailable(
                f"docker: the daemon has no runtime {self.runtime!r}, only {', '.join(runtimes)}. "
                f"{GVISOR}"
            )
        self._client = client
        return client

    def _find_image(self, client: DockerClient, profile: Profile) -> str:
        import docker.errors

        name = self.image or image_name(profile.packages)
        try:
            client.images.get(name)
        except docker.errors.ImageNotFound:
            if self.image is not None:
                raise ImageMissing(
                    f"docker has no image {name!r}: docker pull {name}, or leave `image` out and "
                    "run: agentkd sandbox build"
                ) from None
            log.warning("building the sandbox image %s from this interpreter, once", name)
            return build_image(client, profile.packages, from_host=True).name
        except Exception as error:
            raise InfrastructureError(f"the docker daemon stopped answering: {error}") from error
        return name

    async def _start(
        self,
        client: DockerClient,
        image: str,
        tier: str,
        profile: Profile,
        limits: Limits,
        sessions: int,
    ) -> Guest:
        capacity = min(64, sessions + 8) if tier == "ns" else 1
        options = container_options(tier, limits, capacity, self.runtime)
        command = [self.python, "-s", "-B", "-c", bootstrap(0, 1)]
        try:
            container, sock = await asyncio.to_thread(_run, client, image, command, options)
        except SandboxError:
            raise
        except Exception as error:
            if self.runtime is not None and "OCI runtime" in str(error):  # no retry helps
                raise BackendUnavailable(
                    f"docker: the runtime {self.runtime!r} starts no container: {error}\n{GVISOR}"
                ) from error
            raise InfrastructureError(f"docker could not start a container: {error}") from error

        async def stop() -> None:
            await asyncio.to_thread(_wait_removed, client, str(container.id))

        link = Link(is_multiplexed=True)
        await link.connect(sock)
        name = f"docker-{self.runtime or tier}"
        guest = Guest(link, name, capacity, stop)
        config = {
            "tier": tier,
            "is_jailed": False,
            "python": [self.python, "-s", "-B"],
            "path": [SITE],
            "preload": profile.preload,
        }
        try:
            await guest.handshake(config, profile)
        except BaseException as error:
            await asyncio.shield(guest.close())
            said = link.notes.decode("utf-8", "replace").strip().splitlines()
            if isinstance(error, SandboxLost) and said:
                raise SandboxLost(f"{error} ({said[-1]})") from None
            raise
        return guest


def _knock(address: str) -> None:
    """Connect to a unix socket and hang up: the SDK leaks its own one when nobody answers."""
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(address.removeprefix("unix://"))


def container_options(
    tier: str, limits: Limits, capacity: int, runtime: str | None
) -> dict[str, Any]:
    """Everything that `docker run` would be told: no network, no rights, no writable disk."""
    from docker.types import LogConfig, Ulimit

    memory = cgroups.memory_bytes(limits, capacity)
    security = ["no-new-privileges"]
    options: dict[str, Any] = {
        "network_mode": "none",
        "read_only": True,
        "tmpfs": {
            "/tmp": f"size={limits.disk_bytes},mode=1777,nosuid,nodev,nr_inodes={limits.inodes}",
            "/box": "size=1m,mode=1777,nosuid,nodev,nr_inodes=64",
        },
        "cap_drop": ["ALL"],
        "pids_limit": cgroups.pids(limits, capacity),
        "mem_limit": memory,
        "memswap_limit": memory,
        "ipc_mode": "private",
        "shm_size": MIB,
        "oom_score_adj": 500,
        "log_config": LogConfig(type="none"),
        "ulimits": [
            Ulimit(name="nofile", soft=4096, hard=4096),
            Ulimit(name="core", soft=1, hard=1),
        ],
        "stdin_open": True,
        "auto_remove": True,
        "hostname": "sandbox",
        "environment": {
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "LANG": "C.UTF-8",
        },
        "labels": {OWNER_LABEL: owner_label()},
        "security_opt": security,
    }
    if tier == "ns":
        options["user"] = "65534:65534"
        security.append("seccomp=" + json.dumps(seccomp_profile()))
        if Path("/sys/kernel/security/apparmor").exists():
            security.append("apparmor=unconfined")  # docker-default forbids mount()
    else:
        options["user"] = "0:0"
        options["cap_add"] = ["SETUID", "SETGID", "KILL"]
    if runtime is not None:
        options["runtime"] = runtime
        options["pids_limit"] *= HOST_TASKS_PER_TASK
    return options


def seccomp_profile() -> dict[str, Any]:
    """For the supervisor: what it must not use either. Episodes get the guest's own filter on
    top.
    """
    names = sorted(set(seccomp.DENIED) - NEEDED_BY_SUPERVISOR)
    architectures = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}
    architectures["arm64"] = architectures["aarch64"]  # what macOS calls it
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": [architectures.get(seccomp.MACHINE, "SCMP_ARCH_X86_64")],
        "syscalls": [{"names": names, "action": "SCMP_ACT_ERRNO"}],
    }


def owner_label() -> str:
    """Who started a container: host name, pid, and the process's start time."""
    return f"{socket.gethostname()}:{os.getpid()}:{start_time(os.getpid())}"


def start_time(pid: int) -> str:
    """Clock ticks from boot to a process's start; empty if there is no such process."""
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def orphans(client: DockerClient) -> list[Container]:
    """Containers whose host process, on this machine, is gone."""
    found = []
    for container in client.containers.list(
        all=True, filters={"label": OWNER_LABEL}, ignore_removed=True
    ):
        host, pid, started = container.labels[OWNER_LABEL].rsplit(":", 2)
        if host == socket.gethostname() and start_time(int(pid)) != started:
            found.append(container)
    return found


def _run(
    client: DockerClient, image: str, command: list[str], options: dict[str, Any]
) -> tuple[Container, socket.socket]:
    import docker.errors

    container = client.containers.create(image, command, **options)
    try:
        stream = client.api.attach_socket(
            str(container.id), {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        )
        sock = _plain_socket(stream)
        container.start()
    except BaseException:
        with contextlib.suppress(docker.errors.NotFound):  # auto_remove was faster
            container.remove(force=True)
        raise
    return container, sock


def _plain_socket(stream: Any) -> socket.socket:
    """A socket that asyncio can own: the SDK's own one, or a bridge for TLS, ssh and pipes."""
    raw = getattr(stream, "_sock", stream)
    if type(raw) is socket.socket:
        sock = raw.dup()
        stream.close()
        raw.close()
        return sock
    ours, theirs = socket.socketpair()

    def pump(read: Any, write: Any, finish: Any) -> None:
        try:
            while chunk := read(65536):
                write(chunk)
        except OSError:
            pass
        finally:
            finish()

    def hang_up() -> None:
        theirs.close()

    send = getattr(raw, "sendall", None) or raw.write
    receive = getattr(raw, "recv", None) or raw.read
    for arguments in ((theirs.recv, send, raw.close), (receive, theirs.sendall, hang_up)):
        threading.Thread(target=pump, args=arguments, daemon=True, name="sandbox attach").start()
    return ours


def _wait_removed(client: DockerClient, container_id: str) -> None:
    """The guest ends when its stdin does, and takes the container with it; make sure."""
    import docker.errors
    import requests

    try:
        client.api.wait(container_id, timeout=5, condition="removed")
    except docker.errors.NotFound:
        return
    except (docker.errors.APIError, requests.exceptions.RequestException):
        try:
            client.api.remove_container(container_id, force=True)
        except (docker.errors.APIError, requests.exceptions.RequestException) as error:
            log.info("container %s: %s", container_id[:12], error)
