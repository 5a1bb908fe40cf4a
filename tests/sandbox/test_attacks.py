"""The whole attack table on every backend; see agentkd_sandbox.conformance for what is asserted."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from agentkd_sandbox.conformance import ATTACKS, Attack
from agentkd_sandbox.conformance.arena import Arena

from .conftest import make_backend

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=["process", "process-user", "docker", "docker-uid", "process-landlock"],
)
async def arena(request: pytest.FixtureRequest) -> AsyncIterator[Arena]:
    async with Arena(make_backend(request.param)) as arena:
        yield arena


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
async def test_attack_is_contained(arena: Arena, attack: Attack) -> None:
    if not arena.applies(attack):
        pytest.skip(f"not for {arena.pool.tier}: see the table in sandbox/README.md")
    assert await arena.run(attack) == []


async def test_table_is_large_and_unique() -> None:
    assert len(ATTACKS) >= 100
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)
