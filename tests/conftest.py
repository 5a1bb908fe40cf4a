"""Shared parts: real trajectories of real environments, and folders to put them in."""

from collections.abc import Callable
from functools import partial

import anyio
import pytest
from agentkd_envs import Env, make_env
from hypothesis import HealthCheck, settings

from agentkd.episode import run_episode
from agentkd.policies import ExpertPolicy, Policy
from agentkd.prompts import action_format
from agentkd.trajectory import Trajectory

settings.register_profile("agentkd", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("agentkd")

Play = Callable[..., list[Trajectory]]


@pytest.fixture
def env() -> Env:
    return make_env("household", preset="small")


@pytest.fixture
def play(env: Env) -> Play:
    """Plays some tasks of the small household world and returns the trajectories."""

    def run(
        policy: Policy | None = None, count: int = 6, split: str = "train", max_steps: int = 50
    ) -> list[Trajectory]:
        style = action_format("react")
        return [
            anyio.run(
                partial(
                    run_episode,
                    policy or ExpertPolicy(),
                    env,
                    task,
                    style,
                    max_steps=max_steps,
                    is_training=True,
                )
            )
            for task in env.tasks(split, count)
        ]

    return run
