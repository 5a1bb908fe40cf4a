"""The process that the real engine runs in: TextWorld with ALFWorld's names, as shipped.

It blocks for a tenth of a second a step, translates a game for more than a second, and changes
`sys.argv` while it does so: reasons to keep it out of the host. Its environments are used again,
because each new one leaks the copy of the planner that it loads.
"""

import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

from agentkd_envs.engine_server import serve
from agentkd_envs.errors import TaskDataError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import textworld
    from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
    from textworld.envs import PddlEnv


class TextWorldEngine:
    """All episodes of one process, by number."""

    def __init__(self) -> None:
        self._episodes: dict[int, Any] = {}
        self._spare: list[Any] = []

    def call(self, method: str, parameters: dict[str, Any]) -> Any:
        """Answer `start` or `step`."""
        return getattr(self, f"_{method}")(**parameters)

    def forget(self, episode: int) -> None:
        """Keep the environment of an episode for another one."""
        if episode in self._episodes:
            self._spare.append(self._episodes.pop(episode))

    def _start(self, episode: int, game: dict[str, Any]) -> dict[str, Any]:
        infos = textworld.EnvInfos(won=True, admissible_commands=True)
        env = self._spare.pop() if self._spare else AlfredDemangler(PddlEnv(infos))
        self._episodes[episode] = env
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "game.tw-pddl"
            path.write_text(json.dumps(game), encoding="utf-8")
            try:
                env.load(str(path))
                state = env.reset()
            except Exception as error:
                raise TaskDataError(f"TextWorld cannot play this game: {error!r}") from error
        return _situation(state)

    def _step(self, episode: int, command: str) -> dict[str, Any]:
        state, _, _ = self._episodes[episode].step(command)
        return _situation(state)


def _situation(state: Any) -> dict[str, Any]:
    return {
        "text": state.feedback,
        "admissible": list(state["admissible_commands"]),
        "won": bool(state["won"]),
    }


if __name__ == "__main__":
    serve(TextWorldEngine)
