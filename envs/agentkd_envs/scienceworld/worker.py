"""The process that ScienceWorld runs in: one Java machine, several episodes, one call at a time.

The simulator is asked directly. The package's own wrapper computes everything that could be asked
for at each step, all possible actions included, and that takes most of its time. Episodes may be
interleaved, but not played from two threads, because the simulator has global state, which is
exchanged when another episode goes on (`agentkd_envs.scienceworld.shared_state`). A simulator takes
a second and a dozen megabytes to make, so that those of ended episodes are used again.
"""

from typing import Any

from py4j.protocol import Py4JJavaError

from agentkd_envs.engine_server import serve
from agentkd_envs.errors import TaskDataError
from agentkd_envs.scienceworld.java import start_gateway
from agentkd_envs.scienceworld.shared_state import SharedState


class ScienceWorldEngine:
    """All episodes of one Java machine, by number."""

    def __init__(self, heap_mb: int) -> None:
        self._heap_mb = heap_mb
        self._java = start_gateway(heap_mb).jvm
        self._episodes: dict[int, Any] = {}
        self._spare: list[Any] = []
        self._shared_state = SharedState(self._java)

    def call(self, method: str, parameters: dict[str, Any]) -> Any:
        """Answer `start` or `step`."""
        try:
            return getattr(self, f"_{method}")(**parameters)
        except Py4JJavaError as error:
            if "OutOfMemoryError" in str(error):
                raise MemoryError(
                    f"the heap of {self._heap_mb} MB is full; raise the option heap_mb"
                ) from None
            raise

    def forget(self, episode: int) -> None:
        """Keep the simulator of an episode for another one."""
        if episode in self._episodes:
            self._spare.append(self._episodes.pop(episode))
        self._shared_state.forget(episode)

    def _start(
        self,
        episode: int,
        task: str,
        variation: int,
        simplifications: str,
        wants_gold: bool,
        wants_admissible: bool,
    ) -> dict[str, Any]:
        self._shared_state.begin(episode, simplifications)
        if self._spare:
            simulator = self._spare.pop()
        else:
            simulator = self._java.scienceworld.runtime.pythonapi.PythonInterface()
        self._episodes[episode] = simulator
        gold = None
        if wants_gold:
            simulator.load(task, variation, simplifications, True)
            gold = self._lines(simulator.getGoldActionSequence())
        simulator.load(task, variation, simplifications, False)
        complaint = simulator.reset()
        if complaint:
            raise TaskDataError(f"ScienceWorld refused {task}, variation {variation}: {complaint}")
        room = simulator.step("look around")
        return {
            "task": simulator.getTaskDescription(),
            "room": room,
            "gold": gold,
            "admissible": self._admissible(simulator) if wants_admissible else [],
        }

    def _step(self, episode: int, action: str, wants_admissible: bool) -> dict[str, Any]:
        simulator = self._episodes[episode]
        self._shared_state.go_on_with(episode)
        return {
            "text": simulator.step(action),
            "score": simulator.getScore(),
            "is_completed": simulator.getCompleted(),
            "admissible": self._admissible(simulator) if wants_admissible else [],
        }

    def _admissible(self, simulator: Any) -> list[str]:
        return sorted(set(self._lines(simulator.getValidActionObjectCombinations())))

    def _lines(self, strings: Any) -> list[str]:
        """Fetch a Java list of strings at once; py4j would ask for them one by one."""
        text = self._java.java.lang.String.join("\n", strings)
        return text.split("\n") if text else []


if __name__ == "__main__":
    serve(ScienceWorldEngine)
