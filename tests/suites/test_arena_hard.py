"""Arena-Hard asks two games with the authors' prompts, reads the last verdict, and weighs strong ones thrice."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from waterbed.harness.backends.fake import FakeBackend
from waterbed.harness.errors import UsageError
from waterbed.harness.folders import data_root
from waterbed.harness.judging import Game, Lost
from waterbed.harness.records import Generation, Score
from waterbed.harness.runner import Runner
from waterbed.harness.tasks import Task, tasks
from waterbed.suites.arena_hard import battles

MINE = "An answer of my own."


@pytest.fixture(params=["arena-hard-v0.1", "arena-hard-v2.0"])
def arena(request: pytest.FixtureRequest) -> Task:
    """Both versions whose baseline's answers are there."""
    found = tasks.get(request.param)
    try:
        assert len(found.items) == 500
    except UsageError as error:
        pytest.skip(str(error))
    return found


def judged(task: Task, n: int, judge: Callable[[str], str]) -> dict[str, list[Score]]:
    pairs = [(s, Generation(MINE)) for s in task.items[:n]]
    scores = Runner({"judge": FakeBackend(judge)}).score(task, pairs)
    return {s.id: [score] for (s, _), score in zip(pairs, scores, strict=True)}


def mine_first(asked: str) -> bool:
    return asked.index(MINE) < asked.index("Start of Assistant B")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("So: [[A>>B]]", Game(1.0, 3)),
        ("[[A>B]] at first, but [[B>>A]]", Game(0.0, 3)),
        ("[[a=b]]", Game(0.5)),
        ("My verdict is [B>A].", Game(0.0)),
        ("[[A]]", None),
        ("A>B", None),
    ],
)
def test_the_last_of_five_verdicts_counts(arena: Task, text: str, read: Game | None) -> None:
    found = arena.body.contest.reading.read(text)
    assert found == (read or Lost("judge_unparsed", text))


def test_a_model_that_always_wins_has_no_number_and_one_that_wins_mostly_has(arena: Task) -> None:
    won = judged(arena, 30, lambda asked: "[[A>B]]" if mine_first(asked) else "[[B>A]]")
    assert {own[0].value for own in won.values()} == {1.0}
    assert "win_rate" not in arena.aggregate(won)
    mixed = judged(arena, 30, lambda asked: "[[A>>B]]" if mine_first(asked) else "[[A>B]]")
    assert {own[0].value for own in mixed.values()} == {0.75}
    found = arena.aggregate(mixed)
    assert found["win_rate"] == pytest.approx(0.75)
    assert found["win_rate_low"] == pytest.approx(0.75) == pytest.approx(found["win_rate_high"])


def test_the_judge_reads_the_authors_words_and_both_answers(arena: Task) -> None:
    asked: list[str] = []

    def judge(prompt: str) -> str:
        asked.append(prompt)
        return "[[A=B]]"

    judged(arena, 1, judge)
    sample = arena.items[0]
    body: Any = arena.body
    assert len(asked) in (2, 3)
    for prompt in asked:
        assert "impartial judge" in prompt and "<|User Prompt|>" in prompt
        assert MINE in prompt
    assert body.baseline in ("gpt-4-0314", "o3-mini-2025-01-31")
    assert sample.target


def test_an_unread_verdict_loses_the_sample_and_not_the_model(arena: Task) -> None:
    lost = judged(arena, 3, lambda _: "I like both.")
    assert {(own[0].value, own[0].reason) for own in lost.values()} == {(None, "judge_unparsed")}


def test_an_empty_answer_loses_both_games(arena: Task) -> None:
    pairs = [(s, Generation(" ")) for s in arena.items[:2]]
    scores = Runner({}).score(arena, pairs)
    assert [(s.value, s.reason) for s in scores] == [(0.0, "empty")] * 2
    mixed = judged(arena, 6, lambda asked: "[[A>B]]" if mine_first(asked) else "[[B>A]]")
    mixed |= {s.id: [score] for (s, _), score in zip(pairs, scores, strict=True)}
    assert arena.aggregate(mixed)["win_rate"] == pytest.approx(4 / 6)
    assert math.isfinite(arena.aggregate(mixed)["win_rate_low"])


def test_the_baselines_own_text_ties_both_games(arena: Task) -> None:
    sample = arena.items[0]
    (score,) = Runner({}).score(arena, [(sample, Generation(sample.target))])
    assert score.value == 0.5
    assert [vote.score for vote in battles(sample.id, score)] == [0.5, 0.5]


def test_creative_prompts_without_their_baseline_are_refused_in_one_sentence(
    arena: Task, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shared = data_root()
    assert shared is not None
    (tmp_path / "arena_hard").symlink_to(shared / "arena_hard")
    monkeypatch.setenv("WATERBED_DATA", str(tmp_path))
    if (shared / "arena_hard/arena-hard-v2.0/model_answer/gemini-2.0-flash-001.jsonl").is_file():
        pytest.skip("the baseline's answers are there")
    with pytest.raises(UsageError, match=r"gemini-2\.0-flash-001\.jsonl' is missing; put"):
        list(tasks.get("arena-hard-v2.0-creative").factory().samples())
