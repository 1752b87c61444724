"""`waterbed init`: a policy and CI files in a user's repository; nothing is ever overwritten.

The texts are in init_files.py; the conversion of NeMo Evaluator's policies is in nel.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from .init_files import GITHUB, GITLAB, POLICY
from .output import print_json

POLICY_FILE = "gate.yaml"
CI_FILES = {".github/workflows/waterbed.yml": GITHUB, ".gitlab/waterbed.yml": GITLAB}


def init(
    folder: Annotated[Path, typer.Argument(help="The repository.")] = Path(),
    from_nel: Annotated[
        Path | None,
        typer.Option("--from-nel", help="A NeMo Evaluator gate policy to convert into gate.yaml."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Write gate.yaml and CI files for GitHub and GitLab; never overwrites."""
    policy, lost = (POLICY, ()) if from_nel is None else _converted(from_nel, folder)
    written = write_new(folder, {POLICY_FILE: policy, **CI_FILES})
    if json_:
        by_fate = {fate: [n for n in written if written[n] is fate] for fate in (True, False)}
        made = {"written": by_fate[True], "left_alone": by_fate[False]}
        print_json({**made, "not_carried_over": list(lost)})
        return
    for name, new in written.items():
        typer.echo(f"wrote {folder / name}" if new else f"left alone {folder / name}: it exists")
    for text in lost:
        typer.echo(f"not carried over: {text}")
    suites = "pocket" if from_nel is None else "SUITES"
    policy_file = folder / POLICY_FILE
    typer.echo(f"See what it can show: waterbed plan --suites {suites} --policy {policy_file}")
    if any(written[name] for name in CI_FILES):
        typer.echo("Set BASELINE and CANDIDATE in the CI file that you use; delete the other.")


def write_new(folder: Path, texts: Mapping[str, str]) -> dict[str, bool]:
    """Write each text to its path below `folder` unless something is there; True where it was.

    Raises:
        UsageError: a folder cannot be made or a file not be written.
    """
    written = {}
    for name, text in texts.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            if path.parent.is_dir():
                written[name] = False
                continue
            raise UsageError(
                f"'{path}' cannot be written: '{path.parent}' is no folder; pass another DIR."
            ) from None
        except OSError as error:
            raise UsageError(
                f"'{path}' cannot be written ({error.strerror}); pass a folder that you may write to."
            ) from error
        written[name] = True
    return written


def _converted(source: Path, folder: Path) -> tuple[str, tuple[str, ...]]:
    from ..nel import convert

    target = folder / POLICY_FILE
    if target.exists():
        raise UsageError(
            f"'{target}' exists and is not overwritten; move it away, or pass another DIR."
        )
    if not source.is_file():
        raise UsageError(f"There is no file '{source}'; pass the policy that `nel gate` was given.")
    found = convert(source)
    return found.to_yaml(source.name), found.lost
