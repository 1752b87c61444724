"""The whole demo on three seeds: what each attempt gained and lost, and what became of it.

Ten CPU-minutes a seed. Rows are printed as Markdown, whichever way they fell (demo.md); asserted is what
the demo is for: damage is seen, and what is accepted in the end is better than the base where
stages aimed, with no loss shown. A toy model: the figures say nothing about real ones.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from waterbed.harness.cli.app import main
from waterbed.harness.lineage import Attempt, Lineage, read_lineage

pytestmark = pytest.mark.study

CLAIMS = (
    "instruction",
    "math",
    "code",
    "tools",
    "chat",
    "safety/unsafe",
    "safety/overrefusal",
    "knowledge",
)
HEAD = f"| seed | attempt | stage | outcome | became | items | seconds | {' | '.join(CLAIMS)} |"


def rows(found: Lineage, seed: int) -> Iterator[str]:
    """A Markdown row for each attempt: points against the checkpoint that the stage began with."""
    yield HEAD
    yield "|---" * (7 + len(CLAIMS)) + "|"
    for attempt in found.attempts:
        cells = " | ".join(_cell(attempt, claim) for claim in CLAIMS)
        items = attempt.judged.items if attempt.judged else "-"
        yield (
            f"| {seed} | {attempt.name} | {attempt.stage} | {attempt.outcome} | {attempt.label} | {items} "
            f"| {attempt.seconds:.0f} | {cells} |"
        )


def _cell(attempt: Attempt, claim: str) -> str:
    """A difference in points; bold where its gate proved a loss."""
    found = attempt.claim(claim)
    if found is None or found.delta is None:
        return "-"
    text = f"{100 * found.delta:+.1f}"
    return f"**{text}**" if found.badge == "fail" else text


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_demo_shows_damage_and_ends_without_any(
    seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["demo", "--out", str(tmp_path), "--seed", str(seed)])
    found = read_lineage(tmp_path)
    spent = resource.getrusage(resource.RUSAGE_SELF)
    with capsys.disabled():
        print(f"\ndemo, seed {seed} (toy model): exit {left.value.code}, {found.sentence}")
        print(f"{spent.ru_utime + spent.ru_stime:.0f} CPU-s and {spent.ru_maxrss} kB so far")
        print("\n".join(rows(found, seed)), flush=True)
    first = {step.name: step.attempts[0] for step in found.steps}
    assert first["maths"].outcome == first["chat"].outcome == first["half"].outcome == "red"
    assert left.value.code == 0
