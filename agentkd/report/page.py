"""The page: headline, charts, tables and conversations, laid out by the template.

Every value passes through Jinja's autoescape and through `presentable`; only the charts are markup
already, escaped where they are built. The page has no script, loads nothing, and says so to the
browser in a content security policy.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from agentkd.evaluate.summary import KindResult, Result
from agentkd.report import quantities
from agentkd.report.charts import NARROW, WIDE, kinds_chart, shown_kinds, success_chart
from agentkd.report.conversation import conversation
from agentkd.report.failures import definitions, failure_table, failures_chart
from agentkd.report.headline import Headline
from agentkd.report.inputs import Inputs
from agentkd.report.monitor_chart import monitor_chart
from agentkd.report.pairs import Pairing
from agentkd.report.pick import Pick
from agentkd.report.plain_text import kind_name, name_of, presentable
from agentkd.report.roles import Role
from agentkd.report.setting import Setting
from agentkd.report.training_chart import smoothed, training_chart
from agentkd.train.hacking import describe_gap
from agentkd.viewer.addresses import view_command

METHODS_WITH_A_LOSS_OF_THEIR_OWN = ("eto", "redi", "gkd", "taid", "alm")
"""Their loss is not the mean surprise at a trained token."""


@dataclass(frozen=True)
class Chart:
    """One chart at two widths; the style sheet shows the one that fits."""

    wide: Markup
    narrow: Markup


@dataclass(frozen=True)
class Row:
    """One line of the results table."""

    role: Role
    result: Result
    span: int
    """Lines of this policy if this is its first, else 0."""


@dataclass(frozen=True)
class KindTable:
    """Success by task kind on one split."""

    split: str
    roles: tuple[Role, ...]
    lines: tuple[tuple[str, tuple[KindResult | None, ...]], ...]
    """Kind, and its result by role."""


def render_page(
    *,
    run: str,
    folder: Path,
    inputs: Inputs,
    roles: Sequence[Role],
    split: str,
    headline: Headline,
    setting: Setting,
    pairings: Sequence[Pairing],
    picks: Sequence[Pick],
) -> str:
    """Return the whole page as HTML."""
    imitates = inputs.setting("train.method") not in METHODS_WITH_A_LOSS_OF_THEIR_OWN
    results = inputs.results
    graded = [result for result in results if result.episodes]
    kinds = [_kind_table(results, roles, name) for name in _splits(results, split)]
    kinds = [table for table in kinds if table.lines]
    failures = [failure_table(results, roles, name) for name in _splits(results, split)]
    failures = [table for table in failures if table.lines]
    template = _environment().get_template("page.html.j2")
    return template.render(
        run=run,
        inputs=inputs,
        headline=headline,
        setting=setting,
        split=split,
        rows=_rows(results, roles, split),
        has_errors=any(result.error_repeats for result in graded),
        has_rewards=any(
            not math.isclose(result.mean_reward, result.success_rate, abs_tol=1e-9)
            for result in graded
        ),
        has_tokens=any(result.mean_completion_tokens for result in graded),
        has_cost=any(result.mean_cost_usd for result in graded),
        has_broken=any(result.infrastructure_failures for result in results),
        success=_chart(lambda *size: success_chart(results, roles, split, *size), "success")
        if graded
        else None,
        training=_chart(lambda *size: training_chart(inputs.log, imitates, *size), "training")
        if inputs.log.points
        else None,
        monitor=_chart(lambda *size: monitor_chart(inputs.log.checked, *size), "monitor")
        if inputs.log.checked
        else None,
        alarm=describe_gap(inputs.log.checked),
        imitates=imitates,
        kinds=_chart(lambda *size: kinds_chart(results, roles, split, *size), "kinds")
        if len(shown_kinds(results, split)) > 1
        else None,
        pairings=pairings,
        kind_tables=kinds,
        failures=_chart(lambda *size: failures_chart(failures[0], *size), "failures")
        if failures
        else None,
        failure_tables=failures,
        failure_definitions=definitions(failures),
        has_failed=any(result.episodes > result.successes for result in results),
        contaminated=_contaminated(inputs.about),
        most_attempts=max((result.attempts for result in results), default=1),
        final_loss=smoothed(inputs.log.training)[-1].loss if inputs.log.training else None,
        picks=[
            (pick, [(conversation(one), view_command(folder, one.id)) for one in pick.trajectories])
            for pick in picks
        ],
    )


def _contaminated(about: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Splits with tasks that a policy was trained on, and how many."""
    counts = about.get("contaminated_tasks")
    if not isinstance(counts, Mapping):
        return []
    return [(str(split), count) for split, count in counts.items() if isinstance(count, int)]


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("agentkd.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (
        quantities.percent,
        quantities.percent_number,
        quantities.interval,
        quantities.whole,
        quantities.significant,
        quantities.duration,
        quantities.plural,
        quantities.amount,
        quantities.likelihood,
        quantities.points,
        name_of,
        kind_name,
    ):
        environment.filters[function.__name__] = function
    return environment


def _finalize(value: Any) -> Any:
    return value if isinstance(value, Markup) else presentable(str(value))


def _chart(draw: Callable[[int, str], Markup], identity: str) -> Chart:
    return Chart(draw(WIDE, f"{identity}-wide"), draw(NARROW, f"{identity}-narrow"))


def _splits(results: Sequence[Result], split: str) -> list[str]:
    """All splits, `split` first."""
    return sorted(dict.fromkeys(result.split for result in results), key=lambda name: name != split)


def _rows(results: Sequence[Result], roles: Sequence[Role], split: str) -> list[Row]:
    rows: list[Row] = []
    for role in roles:
        own = [result for result in results if result.policy == role.policy]
        own.sort(key=lambda result: result.split != split)
        rows += [Row(role, result, 0 if index else len(own)) for index, result in enumerate(own)]
    return rows


def _kind_table(results: Sequence[Result], roles: Sequence[Role], split: str) -> KindTable:
    by_policy = {result.policy: result for result in results if result.split == split}
    present = tuple(role for role in roles if role.policy in by_policy)
    names = sorted({kind for result in by_policy.values() for kind in result.by_kind})
    return KindTable(
        split,
        present,
        tuple(
            (kind, tuple(by_policy[role.policy].by_kind.get(kind) for role in present))
            for kind in names
        ),
    )
