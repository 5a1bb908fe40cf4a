"""How long the report of a large evaluation takes, against reading its episodes once.

    python benchmarks/report.py [--episodes 10000] [--json]

Makes an evaluation of made-up household episodes, half of them the student's and half the random
agent's, on one split. Reading is what the summary of an evaluation does too: each line of the
stores to an episode. Each figure is the median of several turns, which take turns.
"""

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from measuring import hardware, peak_memory_mb, seconds
from viewer import episode

from agentkd.evaluate.summary import summarise, write_summary
from agentkd.report import build_report
from agentkd.run_folder import RunFolder
from agentkd.store import EpisodeReader, EpisodeStore
from agentkd.trajectory import PolicyInfo

POLICIES = (PolicyInfo("student", "student"), PolicyInfo("random", "random"))
SPLIT = "unseen"
TURNS = 5


def evaluate(run: RunFolder, episodes: int) -> None:
    """Store an evaluation of that many episodes, and its summary."""
    results = []
    for policy in POLICIES:
        path = run.eval_store(policy.name, SPLIT)
        with EpisodeStore(path) as store:
            for number in range(episodes // len(POLICIES)):
                made = episode(number)
                store.append(replace(made, policy=policy, task=replace(made.task, split=SPLIT)))
        results.append(summarise(policy.name, SPLIT, EpisodeReader(path)))
    write_summary(run.summary, results, {"env": "household"})


def read(run: RunFolder) -> float:
    """Seconds to read every episode."""
    started = time.perf_counter()
    for policy in POLICIES:
        for _ in EpisodeReader(run.eval_store(policy.name, SPLIT)):
            pass
    return seconds(started)


def build(run: RunFolder) -> float:
    """Seconds to build the report."""
    started = time.perf_counter()
    build_report(run)
    return seconds(started)


def measure(run: RunFolder, episodes: int) -> dict[str, object]:
    """All figures."""
    evaluate(run, episodes)
    turns = [(read(run), build(run)) for _ in range(TURNS)]
    reading, building = (statistics.median(column) for column in zip(*turns, strict=True))
    return {
        "episodes": episodes,
        "reading_s": round(reading, 2),
        "report_s": round(building, 2),
        "slowest_report_s": round(max(built for _, built in turns), 2),
        "report / reading": round(building / reading, 2),
        "page_kb": round((run.path / "report.html").stat().st_size / 1e3),
        "peak_memory_mb": round(peak_memory_mb()),
        "hardware": hardware(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=10_000)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(RunFolder(Path(folder) / "run"), arguments.episodes)
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        print(f"{name:20}{value}")


if __name__ == "__main__":
    main()
