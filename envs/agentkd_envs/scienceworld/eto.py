"""The tasks on which ETO (Song et al., 2403.02502) and its successors measure ScienceWorld.

24 of the 30 tasks. Its unseen set is the first ten test variations of each (211 in all); its seen
set is a sample of at most ten development variations of each (194), listed in `data/eto_seen.txt`
in ETO's order. Its training list is not here: it is a sample from the training variations and some
development variations, of which at least one (test-conductivity-of-unknown-substances 394) is also
in the seen set.
"""

from collections.abc import Iterator
from importlib.resources import files

from agentkd_envs.scienceworld.catalogue import KINDS, Kind

ETO_STEP_LIMITS = {
    "boil": 100,
    "change-the-state-of-matter-of": 80,
    "freeze": 80,
    "melt": 80,
    "measure-melting-point-known-substance": 120,
    "use-thermometer": 30,
    "power-component": 20,
    "power-component-renewable-vs-nonrenewable-energy": 30,
    "test-conductivity": 30,
    "test-conductivity-of-unknown-substances": 30,
    "find-animal": 15,
    "find-living-thing": 15,
    "find-non-living-thing": 15,
    "find-plant": 15,
    "grow-fruit": 60,
    "grow-plant": 30,
    "chemistry-mix": 60,
    "chemistry-mix-paint-secondary-color": 15,
    "chemistry-mix-paint-tertiary-color": 30,
    "lifespan-longest-lived": 10,
    "lifespan-longest-lived-then-shortest-lived": 12,
    "lifespan-shortest-lived": 10,
    "identify-life-stages-1": 30,
    "identify-life-stages-2": 30,
}
"""Task name to the number of steps that ETO allows for it, in the order of ETO's unseen set."""

_PER_TASK = 10


def eto_tasks(split: str) -> Iterator[tuple[Kind, int]]:
    """Yield (task, variation) of `eto_seen` or `eto_unseen`, in ETO's order."""
    if split == "eto_unseen":
        for name in ETO_STEP_LIMITS:
            kind = KINDS[name]
            for variation in kind.variations("test")[:_PER_TASK]:
                yield kind, variation
        return
    listed = files("agentkd_envs.scienceworld") / "data" / "eto_seen.txt"
    for line in listed.read_text(encoding="utf-8").splitlines():
        name, _, number = line.partition(" ")
        yield KINDS[name], int(number)
