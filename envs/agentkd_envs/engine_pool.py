"""Shares engine processes between the environments of one host.

Each engine process plays several episodes, interleaved. An episode leases a place in one; idle
processes are preferred, then new ones up to the limit, then the one with the fewest episodes.
Giving a place back never waits: the engine learns of it with the next call. Processes that nobody
uses end after a minute, and all of them with the host.
"""

import atexit
import os
import threading
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import anyio
from anyio import get_cancelled_exc_class

from agentkd_envs.engine_process import EngineProcess
from agentkd_envs.errors import EnvError

IDLE_S = 60.0
LEASE_INTERVAL_S = 0.05


def available_memory_mb() -> float | None:
    """Memory that new processes can have, of the machine or the container; None if unknown."""
    found = []
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found += [int(line.split()[1]) / 1024 for line in lines if line.startswith("MemAvailable")]
        group = Path("/sys/fs/cgroup")
        limit = (group / "memory.max").read_text().strip()
        if limit != "max":
            used = int((group / "memory.current").read_text())
            lines = (group / "memory.stat").read_text().splitlines()
            used -= sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
            found.append((int(limit) - used) / 2**20)
    except OSError:
        pass
    return min(found) if found else None


class Lease:
    """A place for one episode in an engine process."""

    def __init__(self, pool: "EnginePool", process: EngineProcess, episode: int) -> None:
        self.pool, self.process, self.episode = pool, process, episode
        self._is_released = False

    async def ask(self, method: str, **parameters: Any) -> Any:
        """Call the engine on this episode; raises `EnvCrashedError` if its process died.

        Any error, and cancellation, gives the place back: nobody has seen the state that the
        episode is in.
        """
        if self._is_released:
            raise EnvError("the episode has ended: call reset(task) first")
        try:
            return await self.process.ask(method, episode=self.episode, **parameters)
        except (EnvError, get_cancelled_exc_class()):
            self.release()
            raise

    def release(self) -> None:
        """Give the place back; never waits, and twice is fine."""
        self._is_released = True
        self.pool.release(self)

    def __del__(self) -> None:
        self.release()


class EnginePool:
    """The engine processes of one kind in this host."""

    def __init__(
        self, module: str, arguments: Mapping[str, Any], *, memory_mb: int, episodes: int
    ) -> None:
        """`memory_mb` is what one process needs, `episodes` how many it plays at once."""
        self.module, self.arguments = module, arguments
        self.memory_mb, self.episodes = memory_mb, episodes
        self._lock = threading.RLock()
        self._live: dict[EngineProcess, set[int]] = {}
        self._numbers = count()
        self._idle_timer: threading.Timer | None = None
        atexit.register(self.close)
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """A forked child must not talk on its parent's sockets."""
        self._lock = threading.RLock()
        self._live, self._idle_timer = {}, None

    def default_limit(self) -> int:
        """As many processes as there are cores, and memory for; at least one."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        memory = available_memory_mb()
        fitting = int(memory // self.memory_mb) if memory is not None else cores or 1
        return max(1, min(cores or 1, fitting))

    async def lease(self, limit: int) -> Lease:
        """Wait for a place, with at most `limit` processes running.

        Raises `EnvError` if a process is needed and there is no memory for it.
        """
        while (lease := self._lease_now(limit)) is None:
            await anyio.sleep(LEASE_INTERVAL_S)
        return lease

    def lease_beside(self, other: Lease, limit: int) -> Lease:
        """Return a place for a copy of an episode, in the same process if there is one free.

        Does not wait, because the place that it waits for could be that of the original; raises
        `EnvError` if all are taken.
        """
        with self._lock:
            if not other.process.is_dead and self._has_place(other.process):
                return self._lease_in(other.process)
            lease = self._lease_now(limit)
        if lease is None:
            raise EnvError(
                f"no place for a fork: {limit} processes of {self.module} play {self.episodes} "
                "episodes each already; allow more processes, or run fewer episodes at a time"
            )
        return lease

    def _lease_now(self, limit: int) -> Lease | None:
        with self._lock:
            self._cancel_timer()
            self._bury()
            least = min(self._live, key=lambda process: len(self._live[process]), default=None)
            if least is None or (self._live[least] and len(self._live) < limit):
                least = self._new_process() or least
            return self._lease_in(least) if least and self._has_place(least) else None

    def _has_place(self, process: EngineProcess) -> bool:
        return process in self._live and len(self._live[process]) < self.episodes

    def _lease_in(self, process: EngineProcess) -> Lease:
        episode = next(self._numbers)
        self._live[process].add(episode)
        return Lease(self, process, episode)

    def _new_process(self) -> EngineProcess | None:
        memory = available_memory_mb()
        if memory is not None and memory < self.memory_mb:
            if self._live:
                return None
            raise EnvError(
                f"an engine process of {self.module} needs about {self.memory_mb} MB, and "
                f"{memory:.0f} MB are available: end other programs, or give the container more"
            )
        process = EngineProcess(self.module, self.arguments)
        self._live[process] = set()
        return process

    def _bury(self) -> None:
        for process in [process for process in self._live if process.is_dead]:
            del self._live[process]
            process.close()

    def release(self, lease: Lease) -> None:
        """Give a place back. A call that still runs for nobody is cut short with its process."""
        with self._lock:
            live = self._live.get(lease.process)
            if live is None or lease.episode not in live:
                return
            live.discard(lease.episode)
            lease.process.forget(lease.episode)
            if not live and lease.process.is_busy:
                lease.process.close()
            self._bury()
            if self._live and not any(self._live.values()):
                self._cancel_timer()
                self._idle_timer = threading.Timer(IDLE_S, self._close_if_idle)
                self._idle_timer.daemon = True
                self._idle_timer.start()

    def _cancel_timer(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def _close_if_idle(self) -> None:
        with self._lock:
            if not any(self._live.values()):
                self.close()

    def close(self) -> None:
        """End all processes; episodes in them are lost."""
        with self._lock:
            self._cancel_timer()
            for process in self._live:
                process.close()
            self._live = {}
