"""`agentkd envs`: what there is to act in, how it is evaluated elsewhere, and how to serve it."""

import asyncio
from importlib.util import find_spec
from typing import Annotated, Any

import yaml
from agentkd_envs import Env, EnvError, env_names, make_env
from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from agentkd.errors import ConfigError
from agentkd.protocols import protocol, protocol_envs, protocol_names

app = App(name="envs", help="List the environments and protocols; serve an environment over HTTP.")

console = Console(soft_wrap=True)

OptionsOption = Annotated[list[str] | None, Parameter(name="--set", negative="")]


@app.default
def list_envs() -> None:
    """List the environments: splits and their sizes, versions, licence, and what is missing."""
    missing = []
    for name in env_names():
        try:
            env = make_env(name)
        except (EnvError, ImportError) as error:
            missing.append((name, str(error)))
            continue
        _describe(env)
    for name, reason in missing:
        console.print(f"[bold]{name}[/bold]  [yellow]not here[/yellow]", highlight=False)
        console.print(f"  {reason}\n", highlight=False, markup=False)
    for what, remedy in _adapters():
        console.print(f"[bold]{what}[/bold]", highlight=False)
        console.print(f"  {remedy}", highlight=False, markup=False)
    console.print("\nnext: [bold]agentkd play household[/bold]", highlight=False)


@app.command
def protocols() -> None:
    """List the published evaluation set-ups that `agent.protocol` knows, and their numbers."""
    for name in protocol_names():
        values = [protocol(name, env) for env in protocol_envs(name)]
        first = values[0]
        console.print(f"[bold]{name}[/bold]  {first.source}", highlight=False)
        table = Table(box=None, padding=(0, 2, 0, 2))
        for column in ("environment", "format", "shots", "steps", "splits", "metric"):
            table.add_column(column)
        for value in values:
            steps = str(value.max_steps or "its own")
            table.add_row(
                value.env,
                value.format,
                str(value.shots),
                "per kind" if value.max_steps_by_kind else steps,
                ", ".join(f"{split} {count}" for split, count in value.splits.items()),
                value.metric,
            )
        console.print(table)
        for heading, lines in (("facts", first.facts), ("our reading", first.our_reading)):
            console.print(f"  {heading}:", highlight=False)
            for line in lines:
                console.print(f"    - {line}", highlight=False, markup=False)
        console.print()
    console.print("next: [bold]agentkd eval --run RUN --agent.protocol eto[/bold]", highlight=False)


@app.command
def serve(
    name: str,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    split: str = "train",
    idle_s: float = 1800.0,
    max_episodes: int = 1024,
    options: OptionsOption = None,
) -> None:
    """Serve an environment over HTTP, with AgentGym's verbs, until Ctrl-C.

    Parameters
    ----------
    name
        Environment.
    host
        Address to listen on; only this machine reaches the default one. There is no authentication.
    port
        Port; 0 takes a free one.
    split
        Split that task indices count in, where a client names none.
    idle_s
        Seconds after which an episode that nobody uses is closed.
    max_episodes
        Live episodes at a time.
    options
        Option of the environment, OPTION=VALUE; repeatable.
    """
    from agentkd_envs.adapters.http_server import EnvServer

    chosen = parse_options(options)
    server = EnvServer(
        lambda: make_env(name, **chosen), split=split, idle_s=idle_s, max_episodes=max_episodes
    )

    def announce(bound: int) -> None:
        console.print(f"serving {name} at http://{host}:{bound} (stop with Ctrl-C)")
        console.print(f'next: make_env("http", url="http://{host}:{bound}")', highlight=False)

    asyncio.run(server.run(host, port, announce))


def parse_options(given: list[str] | None) -> dict[str, Any]:
    """Read OPTION=VALUE pairs, the values as YAML; raises `ConfigError`."""
    options = {}
    for pair in given or ():
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {pair}: write it as OPTION=VALUE, as in --set preset=small")
        try:
            options[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            options[key] = value
    return options


def _describe(env: Env) -> None:
    spec = env.spec
    console.print(f"[bold]{spec.name}[/bold]", highlight=False)
    table = Table(box=None, padding=(0, 2, 0, 2), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(overflow="fold")
    for split, content in spec.splits.items():
        table.add_row(split, _size(env, split), content)
    console.print(table)
    versions = ", ".join(f"{key} {value}" for key, value in spec.versions.items())
    facts = [
        ("steps", f"{spec.max_steps}; success: {spec.success_rule}"),
        ("versions", versions or "none stated"),
        ("licence", spec.licence or "none stated"),
    ]
    for label, text in facts:
        console.print(f"  {label}: {text}", highlight=False, markup=False)
    console.print()


def _adapters() -> list[tuple[str, str]]:
    has_gymnasium = find_spec("gymnasium") is not None
    return [
        ("http, agentgym", "environments on other hosts: --env.name http --env.options.url URL"),
        (
            "Gymnasium adapter",
            "agentkd_envs.adapters.gym" if has_gymnasium else "pip install 'agentkd[gymnasium]'",
        ),
        ("TRL adapter", "agentkd_envs.adapters.trl"),
    ]


def _size(env: Env, split: str) -> str:
    try:
        return f"{len(env.tasks(split)):,}"
    except EnvError:
        return "endless"
