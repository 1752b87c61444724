"""A file of battles becomes ratings with intervals, and a bad line one sentence with its place."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from typer.testing import CliRunner

from waterbed.harness.cli.app import app
from waterbed.harness.errors import DataError, UsageError
from waterbed.suites.battles import rate

Rows = list[dict[str, Any]]


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Rows], Path]:
    def write(rows: Rows) -> Path:
        path = tmp_path / "battles.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
        return path

    return write


def arena(n: int, seed: int = 1, ties: float = 0.1) -> Rows:
    """Battles of three models 200 Elo points apart, each prompt in both orders."""
    rng, gap = Random(seed), math.log(10) / 2
    worth = {"good": gap, "middling": 0.0, "poor": -gap}
    rows = []
    for prompt in range(n):
        first, second = rng.sample(sorted(worth), 2)
        for a, b in ((first, second), (second, first)):
            won = rng.random() < 1 / (1 + math.exp(worth[b] - worth[a]))
            winner = "tie" if rng.random() < ties else "model_a" if won else "model_b"
            rows.append({"prompt": str(prompt), "model_a": a, "model_b": b, "winner": winner})
    return rows


def test_ratings_are_in_order_and_their_intervals_hold_the_mean(
    written: Callable[[Rows], Path],
) -> None:
    found = rate(written(arena(600, ties=0.0)), draws=200)
    assert [r.model for r in found] == ["good", "middling", "poor"]
    for each in found:
        assert each.rating is not None and each.low is not None and each.high is not None
        assert each.low < each.rating < each.high
    assert sum(r.rating or 0 for r in found) == pytest.approx(3000)
    assert (found[0].rating or 0) - (found[2].rating or 0) == pytest.approx(400, abs=75)


def test_the_order_of_the_battles_does_not_matter(written: Callable[[Rows], Path]) -> None:
    rows = arena(60)
    there = [(r.model, r.rating) for r in rate(written(rows), draws=20)]
    back = [(r.model, r.rating) for r in rate(written(rows[::-1]), draws=20)]
    assert [m for m, _ in there] == [m for m, _ in back]
    assert [x for _, x in there] == pytest.approx([x for _, x in back])


def test_a_model_that_never_lost_has_no_number_and_stands_first(
    written: Callable[[Rows], Path],
) -> None:
    ever = [{"id": n, "model_a": "best", "model_b": "poor", "winner": "model_a"} for n in range(20)]
    found = rate(written(arena(100) + ever), draws=20)
    assert (found[0].model, found[0].rating, found[0].low) == ("best", None, None)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "p", "model_a": "x", "model_b": "x", "winner": "tie"},
        {"prompt": "p", "model_a": "x", "model_b": "y", "winner": "x"},
        {"model_a": "x", "model_b": "y", "winner": "tie"},
        {"prompt": "p", "model_a": 3, "model_b": "y", "winner": "tie"},
        {"prompt": "p", "model_a": "x", "model_b": "y", "winner": ["tie"]},
    ],
)
def test_what_is_no_battle_is_refused_with_its_place(
    written: Callable[[Rows], Path], row: dict[str, Any]
) -> None:
    with pytest.raises(DataError, match=r"battles\.jsonl:2: no battle"):
        rate(written([arena(1)[0], row]))


def test_an_empty_file_and_a_missing_one_are_refused(
    written: Callable[[Rows], Path], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="no battle"):
        rate(written([]))
    with pytest.raises(UsageError, match="no file"):
        rate(tmp_path / "none.jsonl")


def test_the_command_prints_ratings(written: Callable[[Rows], Path]) -> None:
    path = str(written(arena(60)))
    shown = CliRunner().invoke(app, ["ratings", path])
    assert shown.exit_code == 0 and "middling" in shown.stdout
    told = json.loads(CliRunner().invoke(app, ["ratings", path, "--json"]).stdout)
    assert [r["model"] for r in told["ratings"]] == ["good", "middling", "poor"]
