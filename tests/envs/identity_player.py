"""Plays tasks that come in on stdin, in their order, and prints a digest of each episode.

python identity_player.py ENV '{"option": 1}' < tasks.json
"""

import asyncio
import hashlib
import json
import sys
from typing import Any

from agentkd_envs import Env, Task, make_env
from anyio.lowlevel import checkpoint

from agentkd.episode import run_episode
from agentkd.policies import EpisodeContext, RandomPolicy
from agentkd.policies.random_admissible import RandomActor
from agentkd.prompts import action_format
from agentkd.trajectory import Trajectory

MAX_STEPS = 30


class YieldingPolicy(RandomPolicy):
    """Random play that lets every other episode go first at each step, and notes what it saw."""

    def __init__(self) -> None:
        self.admissible: dict[str, list[list[str]]] = {}

    async def begin(self, episode: EpisodeContext) -> RandomActor:
        actor = await super().begin(episode)
        seen = self.admissible.setdefault(episode.task.id, [])
        act = actor.act

        async def act_later(conversation: Any) -> Any:
            await checkpoint()
            seen.append(list(conversation.last.admissible()))
            return await act(conversation)

        actor.act = act_later  # type: ignore[method-assign]
        return actor


async def play(env: Env, task: Task) -> tuple[str, Trajectory]:
    """Return a digest of all that the agent saw, did and got, and the record."""
    policy, style = YieldingPolicy(), action_format("react")
    episode = await run_episode(policy, env, task, style, max_steps=MAX_STEPS)
    content = [
        [message.content for message in episode.prompt],
        [
            [step.text, step.observation, step.reward, step.valid, dict(step.info)]
            for step in episode.steps
        ],
        [episode.outcome.reward, episode.outcome.success, episode.outcome.status],
        policy.admissible[task.id],
        dict(episode.versions),
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest(), episode


def main() -> None:
    name, options = sys.argv[1], json.loads(sys.argv[2])
    tasks = [Task(**values) for values in json.load(sys.stdin)]

    async def play_all() -> dict[str, str]:
        env = make_env(name, **options)
        digests = {task.id: (await play(env, task))[0] for task in tasks}
        await env.close()
        return digests

    json.dump(asyncio.run(play_all()), sys.stdout)


if __name__ == "__main__":
    main()
