"""The commands `export` and `import`: episodes to and from the formats of others."""

import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console

from agentkd.formats import FORMATS, format_named
from agentkd.formats.contents import Contents, Observer
from agentkd.recipe import Recipe
from agentkd.run_folder import RunFolder

WRITABLE = ", ".join(name for name, one in FORMATS.items() if one.write)
READABLE = ", ".join(FORMATS)
PROGRESS_EVERY_S = 10.0


def add_format_commands(app: App, console: Console, recipe_of: Callable[[Path], Recipe]) -> None:
    """Add both commands; `recipe_of` returns the recipe of a run folder with its overrides."""

    @app.command(name="export")
    def export_episodes(
        *,
        run: Annotated[Path, Parameter(help="Run folder whose episodes are exported.")],
        format: Annotated[str, Parameter(help=f"One of: {WRITABLE}.")],
        out: Annotated[Path, Parameter(help="Folder to make, with the data and a README.md.")],
        redact: Annotated[
            bool,
            Parameter(help="Replace secrets, e-mail addresses, home folders and private hosts."),
        ] = True,
        push_to_hub: Annotated[
            str | None,
            Parameter(help="Data set on the Hugging Face Hub to upload to; made private if new."),
        ] = None,
    ) -> None:
        """Write the episodes of a run in a format that others read.

        Formats of training data (messages, openai, sharegpt) get the episodes that the curate
        section keeps; atif and sessions get all of them.
        """
        from agentkd.curate.redact import Redactor
        from agentkd.formats.hub import check_target, push
        from agentkd.formats.run_export import export_run

        target = format_named(format, to_write=True)
        if push_to_hub:
            check_target(push_to_hub)
        command = ["agentkd", "export", "--run", str(run), "--format", format, "--out", str(out)]
        console.print(f"[bold]Export[/bold]  {target.summary}", highlight=False)
        result = export_run(
            RunFolder(run),
            recipe_of(run),
            target,
            out,
            Redactor() if redact else None,
            shlex.join(command if redact else [*command, "--no-redact"]),
            _progress(console),
        )
        contents = result.contents
        _table(console, {"episodes": contents.episodes, "steps": contents.steps})
        _table(console, {f"left out: {name}": n for name, n in result.left_out.items()})
        if result.redacted is None:
            console.print("  not redacted: secrets were not looked for")
        else:
            _table(console, {f"redacted: {name}": n for name, n in result.redacted.items()})
            if not result.redacted:
                console.print("  redacted: nothing; no secret of a known form was found")
        console.print(f"  kept in {out}", highlight=False)
        if push_to_hub:
            console.print(f"  pushed to {push(out, push_to_hub)}", highlight=False)
        else:
            upload = shlex.join(["hf", "upload", "USER/NAME", str(out), ".", "--repo-type"])
            _next(console, f"{upload} dataset", "read it through, then share it")

    @app.command(name="import")
    def import_episodes(
        *files: Annotated[Path, Parameter(help="Files, or folders of files, of one format.")],
        format: Annotated[str, Parameter(help=f"One of: {READABLE}.")],
        run: Annotated[Path, Parameter(help="Run folder to make; it must not have episodes yet.")],
        skip_damaged: Annotated[
            bool, Parameter(help="Leave out records that cannot be read, and count them.")
        ] = False,
    ) -> None:
        """Read episodes that others collected into a run, to curate and train on them."""
        from agentkd.errors import UserError
        from agentkd.formats.run_import import import_files

        source = format_named(format)
        if not files:
            raise UserError(f"name the files: agentkd import FILE --format {format} --run {run}")
        console.print(f"[bold]Import[/bold]  {source.summary}", highlight=False)
        folder = RunFolder(run)
        result = import_files(
            files, source, folder, skip_damaged=skip_damaged, on_episode=_progress(console)
        )
        contents = result.contents
        _table(
            console,
            {
                "episodes": contents.episodes,
                **dict(contents.worlds),
                "steps": contents.steps,
                "steps with loss": contents.trained_steps,
                "successful": contents.successes,
                "outcome unknown": contents.unknown_outcomes,
            },
        )
        if result.damaged:
            _table(console, {"damaged, left out": len(result.damaged)})
            console.print(f"  the first: {result.damaged[0]}", highlight=False, markup=False)
        console.print(f"  kept in {folder.trajectories}", highlight=False)
        curate = shlex.join(["agentkd", "curate", "--run", str(run)])
        if contents.unknown_outcomes:
            curate += " --curate.only_successes false"
        _next(console, curate, "next")


def _progress(console: Console) -> Observer:
    """Say now and then how far it is."""
    printed = time.monotonic()

    def on_episode(contents: Contents) -> None:
        nonlocal printed
        if time.monotonic() - printed >= PROGRESS_EVERY_S:
            printed = time.monotonic()
            console.print(f"  {contents.episodes:,} episodes so far", highlight=False)

    return on_episode


def _table(console: Console, counts: Mapping[str, int]) -> None:
    for name, count in counts.items():
        console.print(f"  {name:<32} {count:>9,}", highlight=False, markup=False)


def _next(console: Console, command: str, why: str) -> None:
    console.print(f"{why}: [bold]{command}[/bold]", highlight=False)
