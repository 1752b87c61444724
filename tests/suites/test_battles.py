"""A file of battles becomes ratings with intervals, and a bad line one sentence with its place."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import stdev
from typing import Any

import pytest
from typer.testing import CliRunner

from waterbed.harness.cli.app import app
from waterbed.harness.errors import DataError, UsageError
from waterbed.harness.statistics.bradley_terry import Vote, elo
from waterbed.harness.statistics.style_control import difference, style
from waterbed.harness.statistics.styled_strengths import styled_strengths
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
    found = rate(written(arena(600, ties=0.0)), draws=200).rows
    assert [r.model for r in found] == ["good", "middling", "poor"]
    for each in found:
        low, rating, high = each.raw.low, each.raw.rating, each.raw.high
        assert low is not None and rating is not None and high is not None
        assert low < rating < high
    assert sum(r.raw.rating or 0 for r in found) == pytest.approx(3000)
    assert (found[0].raw.rating or 0) - (found[2].raw.rating or 0) == pytest.approx(400, abs=75)


def test_the_order_of_the_battles_does_not_matter(written: Callable[[Rows], Path]) -> None:
    rows = arena(60)
    there = [(r.model, r.raw.rating) for r in rate(written(rows), draws=20).rows]
    back = [(r.model, r.raw.rating) for r in rate(written(rows[::-1]), draws=20).rows]
    assert [m for m, _ in there] == [m for m, _ in back]
    assert [x for _, x in there] == pytest.approx([x for _, x in back])


def test_a_model_that_never_lost_has_no_number_and_stands_first(
    written: Callable[[Rows], Path],
) -> None:
    ever = [{"id": n, "model_a": "best", "model_b": "poor", "winner": "model_a"} for n in range(20)]
    best = rate(written(arena(100) + ever), draws=20).rows[0]
    assert (best.model, best.raw.rating, best.raw.low) == ("best", None, None)


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


def wordy(n: int, taste: float, seed: int = 2) -> Rows:
    """Two equal models and a better one; the second writes twice as much, and the judge likes that."""
    rng = Random(seed)
    worth, words = {"brief": 0.0, "wordy": 0.0, "good": 0.8}, {"wordy": 2.0}
    rows = []
    for prompt in range(n):
        a, b = rng.sample(sorted(worth), 2)
        lengths = [words.get(m, 1.0) * 400 * rng.lognormvariate(0, 0.4) for m in (a, b)]
        answers = ["x" * round(length) for length in lengths]
        apart = difference(style(answers[0]), style(answers[1]))[0]
        odds = worth[a] - worth[b] + taste * apart
        won = rng.random() < 1 / (1 + math.exp(-odds))
        rows.append(
            {"prompt": str(prompt), "model_a": a, "model_b": b, "winner": "model_a" if won else "model_b"}
            | {"answer_a": answers[0], "answer_b": answers[1]}
        )  # fmt: skip
    return rows


def test_at_equal_style_a_model_that_only_writes_more_falls_back(
    written: Callable[[Rows], Path],
) -> None:
    found = rate(written(wordy(1500, taste=4.0)), draws=20)
    assert found.unstyled == ""
    by_model = {r.model: r for r in found.rows}
    raw = {m: r.raw.rating or 0 for m, r in by_model.items()}
    assert raw["wordy"] - raw["brief"] > 100
    styled = {m: r.styled for m, r in by_model.items()}
    wordy_, brief, good = (styled[m] for m in ("wordy", "brief", "good"))
    assert wordy_ and brief and good
    assert (wordy_.rating or 0) - (brief.rating or 0) == pytest.approx(0, abs=45)
    assert (good.rating or 0) - (brief.rating or 0) == pytest.approx(elo(0.8) - 1000, abs=45)
    assert (good.low or 0) > (brief.high or 0)


def test_errors_at_equal_style_are_as_large_as_the_ratings_scatter() -> None:
    thetas, errors = [], []
    for seed in range(40):
        rows = wordy(300, taste=2.0, seed=seed)
        models = {"brief": 0, "wordy": 1, "good": 2}
        votes = [
            Vote(r["prompt"], models[r["model_a"]], models[r["model_b"]], float(r["winner"] == "model_a"))
            for r in rows
        ]  # fmt: skip
        apart = [difference(style(r["answer_a"]), style(r["answer_b"])) for r in rows]
        found = styled_strengths(votes, 3, apart)
        assert not isinstance(found, str)
        good = found[2]
        thetas.append(good.theta or 0.0)
        errors.append(((good.high or 0.0) - (good.low or 0.0)) / 3.92)
    assert stdev(thetas) == pytest.approx(sum(errors) / 40, rel=0.35)


def test_without_a_difference_in_style_both_ratings_agree(written: Callable[[Rows], Path]) -> None:
    rows = [{**row, "answer_a": "same", "answer_b": "same"} for row in arena(200)]
    for each in rate(written(rows), draws=20).rows:
        assert each.styled is not None
        assert each.styled.rating == pytest.approx(each.raw.rating)


def test_why_there_are_no_ratings_at_equal_style_is_said(written: Callable[[Rows], Path]) -> None:
    rows = wordy(50, taste=0.0)
    del rows[7]["answer_b"]
    assert rate(written(rows), draws=20).unstyled.startswith("1 of 50 battles do not hold both")
    ever = [{**row, "winner": "model_a"} for row in rows if row["model_a"] == "good"]
    one_way = [{**row, "answer_a": "x", "answer_b": "y"} for row in ever]
    assert rate(written(one_way), draws=20).unstyled == "no two models beat each other"


def test_the_command_prints_ratings(written: Callable[[Rows], Path]) -> None:
    path = str(written(arena(60)))
    shown = CliRunner().invoke(app, ["ratings", path])
    assert shown.exit_code == 0 and "middling" in shown.stdout
    told = json.loads(CliRunner().invoke(app, ["ratings", path, "--json"]).stdout)
    assert [r["model"] for r in told["ratings"]] == ["good", "middling", "poor"]
    assert told["unstyled"].endswith("(answer_a, answer_b)")
    both = CliRunner().invoke(app, ["ratings", str(written(wordy(200, taste=1.0)))])
    assert "at equal style" in both.stdout and "modelling assumption" in both.stderr
