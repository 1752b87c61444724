"""A gamed reward, runaway length and copied answers are named; ordinary progress is not.

curves/ holds the metrics of real runs, recorded by tests/study/test_reward_hacking.py.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

from waterbed.trainers.reward_signs import RewardHackingWarning, signs, warn_of_signs

NOISE = (0.0, 0.01, -0.01, 0.005, -0.005, 0.0, 0.01, -0.01, 0.0)


def line(step: int, **values: float) -> dict[str, float]:
    ordinary = {"reward": 0.5, "watched": 0.5, "completions/mean_length": 20.0, "duplicates": 0.2}
    return {"step": step, **ordinary, **values}


def rising(**ends: float) -> list[dict[str, float]]:
    """Nine lines in which the named figures move to these ends, with noise."""
    start = line(0)
    return [
        line(i, **{k: start[k] + (end - start[k]) * i / 8 + NOISE[i] for k, end in ends.items()})
        for i in range(9)
    ]


def test_a_reward_that_rises_while_the_watched_scorer_falls_is_named() -> None:
    assert set(signs(rising(reward=0.9, watched=0.2))) == {"watched"}
    assert signs(rising(reward=0.9, watched=0.8)) == {}
    assert signs(rising(reward=0.5, watched=0.2)) == {}
    assert signs(rising(reward=0.9, watched=0.2)[:5]) == {}, "too little to judge by"


def test_answers_that_run_away_and_copies_are_named() -> None:
    assert set(signs(rising(**{"completions/mean_length": 90.0}))) == {"length"}
    assert signs(rising(**{"completions/mean_length": 30.0})) == {}
    assert set(signs(rising(duplicates=0.95))) == {"duplicates"}
    assert signs([line(i, duplicates=0.9) for i in range(9)]) == {}, "as at the start"


@pytest.mark.parametrize(
    ("paid", "named"),
    [
        ("longest", {"watched", "length"}),
        ("shortest", {"watched", "duplicates"}),
        ("task", set()),
    ],
)
def test_real_runs_show_the_signs_of_what_was_paid(paid: str, named: set[str]) -> None:
    file = Path(__file__).parent / "curves" / f"{paid}.jsonl"
    lines = [json.loads(x) for x in file.read_text(encoding="utf-8").splitlines()]
    assert set(signs(lines)) == named


def test_each_sign_warns_once(tmp_path: Path) -> None:
    file, told = tmp_path / "m.jsonl", set[str]()
    warn_of_signs(file, told)
    file.write_text("".join(json.dumps(x) + "\n" for x in rising(duplicates=0.95)))
    with pytest.warns(RewardHackingWarning, match="same as to another prompt"):
        warn_of_signs(file, told)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_signs(file, told)
