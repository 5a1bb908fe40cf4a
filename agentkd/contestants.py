"""The policies that an evaluation compares, by name.

A name is a policy, and perhaps wrappers around it, each behind a plus sign: `student+NAME`. A
wrapper takes its settings from the recipe.
"""

from collections.abc import Callable, Mapping, Sequence

from agentkd.bank import Bank, bank_episodes
from agentkd.calls.prices import Price
from agentkd.errors import ConfigError, did_you_mean
from agentkd.policies import ExpertPolicy, Policy, RandomPolicy
from agentkd.policies.cascade import CascadePolicy
from agentkd.policies.demonstrations import DemonstratedPolicy
from agentkd.policies.first_thought import FirstThoughtPolicy
from agentkd.policies.self_consistency import SelfConsistentPolicy
from agentkd.recipe import Recipe
from agentkd.recipe.teacher import TeacherSection
from agentkd.run_folder import RunFolder
from agentkd.teachers import local_policy, make_teacher
from agentkd.trajectory import Author

POLICIES = ("random", "expert", "teacher", "untrained", "student")

Wrapper = Callable[[Policy, Recipe, RunFolder], Policy]


def _demonstrated(policy: Policy, recipe: Recipe, run: RunFolder) -> Policy:
    how = recipe.demonstrations
    if not how.k:
        return DemonstratedPolicy(policy, None, 0, None)
    bank = Bank(bank_episodes(run, how.bank), how.keys, how.embedder)
    return DemonstratedPolicy(policy, bank, how.k, how.window)


def _first_thought(policy: Policy, recipe: Recipe, run: RunFolder) -> Policy:
    return FirstThoughtPolicy(policy, recipe.first_thought.until)


def _self_consistent(policy: Policy, recipe: Recipe, run: RunFolder) -> Policy:
    settings = recipe.self_consistency
    return SelfConsistentPolicy(
        policy, n=settings.n, temperature=settings.temperature, top_p=settings.top_p
    )


def _cascading(policy: Policy, recipe: Recipe, run: RunFolder) -> Policy:
    how = recipe.cascade
    price = Price(**how.price.model_dump()) if how.price else None
    teacher = _policy(how.teacher, run, recipe)()
    return CascadePolicy(policy, teacher, how.n, price, how.temperature)


WRAPPERS: Mapping[str, Wrapper] = {
    "cascade": _cascading,
    "demos": _demonstrated,
    "ftp": _first_thought,
    "sag": _self_consistent,
}
"""What may stand behind a plus sign."""


def contestant(name: str, run: RunFolder, recipe: Recipe) -> Callable[[], Policy]:
    """What makes the policy of that name; raises `ConfigError` for a name that does not exist."""
    base, *wrappers = name.split("+")
    make = _policy(base, run, recipe)
    check_wrappers(name, wrappers)
    return lambda: wrapped(make(), wrappers, recipe, run)


def check_wrappers(name: str, wrappers: Sequence[str]) -> None:
    """Raise `ConfigError` if one of the wrappers in `name` does not exist."""
    for wrapper in wrappers:
        if wrapper not in WRAPPERS:
            known = ", ".join(WRAPPERS) or "none"
            raise ConfigError(
                f"unknown wrapper '{wrapper}' in '{name}'. There is: {known}."
                f"{did_you_mean(wrapper, WRAPPERS)}"
            )


def wrapped(policy: Policy, wrappers: Sequence[str], recipe: Recipe, run: RunFolder) -> Policy:
    """The policy with its wrappers around it, the first one innermost."""
    for wrapper in wrappers:
        policy = WRAPPERS[wrapper](policy, recipe, run)
    return policy


def teacher_section(recipe: Recipe) -> TeacherSection:
    """The recipe's chat model; raises `ConfigError` if it has none."""
    if recipe.teacher is None:
        raise ConfigError(
            "the recipe has no section 'teacher'; name at least a model and an endpoint: "
            "--teacher.model NAME --teacher.base_urls '[http://localhost:8000/v1]'"
        )
    return recipe.teacher


def _policy(name: str, run: RunFolder, recipe: Recipe) -> Callable[[], Policy]:
    if name == "random":
        return RandomPolicy
    if name == "expert":
        return ExpertPolicy
    if name == "teacher":
        section = teacher_section(recipe)
        return lambda: make_teacher(section, run.ledger, recipe.eval.concurrency)
    if name == "untrained":
        return lambda: _local(recipe.train.student, "untrained", recipe)
    if name == "student":
        run.require(run.student / "training.json", "train")
        return lambda: _local(str(run.student), "student", recipe)
    raise ConfigError(
        f"unknown policy '{name}'. There is: {', '.join(POLICIES)}.{did_you_mean(name, POLICIES)}"
    )


def _local(source: str, name: str, recipe: Recipe) -> Policy:
    settings = recipe.eval
    author: Author = "base" if name == "untrained" else "student"
    return local_policy(
        source,
        name,
        author,
        settings.max_new_tokens,
        settings.temperature,
        precision=settings.precision,
    )
