"""The clock: deadlines, and what the processes of every episode use of memory, CPU and disk."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from agentkd_sandbox.guest.branch import proc_pid, read_state
from agentkd_sandbox.guest.kernel import BUSY_TICK_S, IDLE_TICK_S, read_text
from agentkd_sandbox.guest.record import Episode
from agentkd_sandbox.guest.removal import deleted_bytes, tree_is_over

if TYPE_CHECKING:
    from agentkd_sandbox.guest.supervisor import Supervisor


class Watch:
    """Looks at every episode again and again; interrupts or kills what is over a limit."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.tier = supervisor.tier
        self.next_tick = 0.0
        self.ticks_per_s = os.sysconf("SC_CLK_TCK")
        self.page_bytes = os.sysconf("SC_PAGE_SIZE")
        self.base_rss = 0

    def measure_fork_server(self) -> None:
        """What every episode shares with it is not the episode's memory."""
        try:
            self.base_rss = self.sample(self.in_proc(self.supervisor.fork_server_pid))[1]
        except (OSError, ValueError):
            self.base_rss = 0

    def in_proc(self, pid: int) -> int:
        """What /proc calls this pid."""
        return proc_pid(pid) if self.tier == "ns" else pid

    def sample(self, pid: int | str) -> tuple[float, int]:
        """CPU seconds (own and reaped children) and resident bytes of one process."""
        fields = read_text("/proc/%s/stat" % pid).rpartition(")")[2].split()
        cpu = sum(int(x) for x in fields[11:15]) / self.ticks_per_s
        return cpu, int(fields[21]) * self.page_bytes

    def owner(self, pid: int, owners: dict[int, Episode]) -> Episode | None:
        if self.tier == "ns":
            return owners.get(os.stat("/proc/%d/ns/pid" % pid).st_ino)
        if self.tier == "uid":
            return owners.get(os.stat("/proc/%d" % pid).st_uid)
        return owners.get(pid)

    def look(self) -> None:
        """Sum CPU and memory over all processes of each episode; stop those over their limit."""
        keys = {"ns": "pid_namespace", "uid": "uid", "landlock": "pid"}
        episodes = self.supervisor.episodes.values()
        owners = {getattr(x, keys[self.tier]): x for x in episodes}
        total: dict[Episode, tuple[float, int]] = {}
        names = [str(pid) for pid in owners] if self.tier == "landlock" else os.listdir("/proc")
        for name in names:
            try:
                episode = self.owner(int(name), owners) if name.isdigit() else None
                if episode is not None:
                    cpu, rss = self.sample(int(name))
                    sums = total.get(episode, (0.0, 0))
                    total[episode] = (sums[0] + cpu, sums[1] + max(0, rss - self.base_rss))
            except (OSError, ValueError, IndexError):
                continue  # it ended while we looked
        for episode, (cpu, rss) in total.items():
            episode.cpu, episode.rss = max(episode.cpu, cpu), max(episode.rss, rss)
            limits = episode.limits
            if rss > limits["memory"]:
                self.supervisor.kill(episode, "memory")
            elif cpu > limits["cpu"]:
                self.supervisor.kill(episode, "cpu")
            elif episode.is_busy and not episode.hard_at:
                if cpu - episode.block_cpu > limits["block_cpu"]:
                    self.interrupt(episode, "cpu")
            if self.tier == "landlock" and self.is_disk_over(episode):
                self.supervisor.kill(episode, "disk")

    def is_disk_over(self, episode: Episode) -> bool:
        limits, folder = episode.limits, episode.folder
        try:
            left = limits["disk"] - deleted_bytes(episode.pid, folder)
        except OSError:  # it has ended, or it is hiding
            return read_state(str(episode.pid)) != "Z"
        return left < 0 or tree_is_over(folder, left, limits["inodes"])

    def interrupt(self, episode: Episode, why: str) -> None:
        episode.soft_why, episode.soft_at = why, 0.0
        episode.hard_at = time.monotonic() + episode.limits["grace_ms"] / 1000
        self.supervisor.signal(episode, signal.SIGINT)

    def on_time(self) -> None:
        now = time.monotonic()
        for episode in list(self.supervisor.episodes.values()):
            if episode.soft_at and now >= episode.soft_at and not episode.is_answering:
                self.interrupt(episode, "wall")
            elif episode.hard_at and now >= episode.hard_at and not episode.is_answering:
                episode.hard_at = 0.0
                self.supervisor.kill(episode, episode.soft_why)
            if episode.branch_deadline and now >= episode.branch_deadline:
                self.supervisor.branching.refuse_branches(
                    episode, "the interpreter did not answer in time"
                )
            if episode.hard_at and now >= self.next_tick and not episode.is_answering:
                self.supervisor.signal(episode, signal.SIGINT)
        if now >= self.next_tick:
            is_busy = any(episode.is_busy for episode in self.supervisor.episodes.values())
            self.next_tick = now + (BUSY_TICK_S if is_busy else IDLE_TICK_S)
            if self.supervisor.episodes:
                self.look()

    def timeout(self) -> float:
        times = [
            moment
            for x in self.supervisor.episodes.values()
            for moment in (x.soft_at, x.hard_at, x.branch_deadline)
            if moment
        ]
        if self.supervisor.episodes:
            times.append(self.next_tick)
        return max(0.0, min(times) - time.monotonic()) if times else -1
