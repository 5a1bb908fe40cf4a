"""A running guest, whatever started it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from agentkd_sandbox import guest
from agentkd_sandbox.errors import PackageMissing, SandboxLost
from agentkd_sandbox.guest.bootstrap import BOOTSTRAP
from agentkd_sandbox.link import Link
from agentkd_sandbox.profiles import Profile

START_TIMEOUT_S = 60.0


class Guest:
    """One jail or container with its supervisor."""

    def __init__(
        self, link: Link, tier: str, capacity: int, stop: Callable[[], Awaitable[None]]
    ) -> None:
        self.link = link
        self.tier = tier
        self.capacity = capacity
        """Sessions at a time."""
        self.live = 0
        self.total = 0
        self.info: dict[str, Any] = {}
        """What the supervisor says about itself: Python, kernel, tier."""
        self._stop = stop
        self._is_closed = False

    async def close(self) -> None:
        """End every process of the guest and wait until they are gone."""
        if not self._is_closed:
            self._is_closed = True
            self.link.close()
            await self._stop()

    async def handshake(self, config: dict[str, Any], profile: Profile) -> None:
        """Send program and configuration, wait for the supervisor's hello."""
        source = guest_source()
        body = json.dumps(config).encode()
        self.link.write(b"%010d" % len(source) + source + b"%010d" % len(body) + body)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                self.info = await self.link.hello
        except TimeoutError:
            raise SandboxLost(f"the guest did not start within {START_TIMEOUT_S:g} s") from None
        if missing := self.info.get("missing"):
            raise PackageMissing(
                f"profile {profile.name!r} cannot be loaded in the sandbox ({'; '.join(missing)}). "
                f"{profile.remedy}"
            )


def guest_source() -> bytes:
    """The guest program."""
    return guest.source()


def bootstrap(read_fd: int, write_fd: int) -> str:
    """What `python -c` runs to take the program from a descriptor."""
    return BOOTSTRAP % (read_fd, f"supervisor_main({read_fd}, {write_fd})")
