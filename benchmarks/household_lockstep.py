"""The native household engine and TextWorld in lock-step: the same commands, every answer compared.

    python benchmarks/household_lockstep.py --steps 10000
    python benchmarks/household_lockstep.py --steps 10000 --shipped-steps 300 --first 5000 --json

Freshly generated games of both presets and both dialects take turns. After each command the
observation, the whole list of admissible commands and whether the game is won are compared. As
shipped, TextWorld takes a tenth of a second a step, so most steps are played with `memoised`, which
keeps its logic and only remembers parsed templates and translations (`tests/envs/real_textworld`);
`--shipped-steps` are played on it untouched. Exits with 1 if anything differs.
"""

import argparse
import json
import sys
import time
from contextlib import nullcontext
from itertools import count, cycle
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "envs"))

from agentkd_envs.household.pddl import game_file
from lockstep import games, play_both
from real_textworld import RealGame, memoised

WORLDS = [(preset, dialect) for dialect in ("move", "put") for preset in ("small", "full")]
STEPS_PER_GAME = 100


def compare(steps: int, first: int, is_memoised: bool) -> dict[str, Any]:
    """Play until `steps` are done; count games, steps and games with a difference by world."""
    found = {"/".join(world): {"games": 0, "steps": 0, "differences": 0} for world in WORLDS}
    done = 0
    start = time.perf_counter()
    with memoised() if is_memoised else nullcontext():
        real = RealGame()
        for index, (preset, dialect) in zip(count(first), cycle(WORLDS), strict=False):
            if done >= steps:
                break
            row = found[f"{preset}/{dialect}"]
            (game,) = games(preset, dialect, 1, index)
            row["games"] += 1
            try:
                played = play_both(
                    real, game_file(game, "game"), index, min(STEPS_PER_GAME, steps - done)
                )
            except AssertionError as error:
                sys.stderr.write(f"{preset}/{dialect} game {index}: {error}\n")
                row["differences"] += 1
                continue
            row["steps"] += played
            done += played
    return {
        "worlds": found,
        "games": sum(row["games"] for row in found.values()),
        "steps": done,
        "differences": sum(row["differences"] for row in found.values()),
        "seconds": round(time.perf_counter() - start, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=10_000, help="steps on memoised TextWorld")
    parser.add_argument("--shipped-steps", type=int, default=0, help="steps on it as shipped")
    parser.add_argument("--first", type=int, default=10_000, help="index of the first game")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    options = parser.parse_args()
    results = {
        "memoised": compare(options.steps, options.first, True),
        "shipped": compare(options.shipped_steps, options.first + 5000, False),
    }
    if options.json:
        sys.stdout.write(json.dumps(results, indent=2) + "\n")
    else:
        for name, part in results.items():
            sys.stdout.write(
                f"{name}: {part['games']} games, {part['steps']:,} steps, "
                f"{part['differences']} differences, {part['seconds']:,} s\n"
            )
            for world, row in part["worlds"].items():
                sys.stdout.write(f"  {world:11} {row['games']:4} games {row['steps']:6,} steps\n")
    return int(any(part["differences"] for part in results.values()))


if __name__ == "__main__":
    sys.exit(main())
