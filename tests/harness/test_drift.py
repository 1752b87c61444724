"""Planted drift is found, its absence is not, and nothing gates without an A/A run."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from waterbed.harness.drift import figures_by_task, measure_drift
from waterbed.harness.drift_record import Drift
from waterbed.harness.statistics.families import holm
from waterbed.harness.tables import WITHHELD

WORDS = [f"word{n}" for n in range(400)]
LOOP = "and so it goes " * 12


@dataclass(frozen=True)
class Said:
    """One answer."""

    text: str
    tokens: int | None = None
    stop: str = "stop"
    value: float | None = 1.0
    reason: str | None = None
    prompt: str = "What is it?"
    cluster: str | None = None


@dataclass(frozen=True)
class TextRun:
    """A Run whose tables are frames."""

    label: str
    answers: Sequence[Said]
    task: str | list[str] = "t"
    repeats: int = 1
    status: str = "complete"
    manifest: dict[str, Any] = field(
        default_factory=lambda: {"tasks": {"t": {"metrics": [{"name": "correct"}]}}, "roles": {}}
    )

    def _places(self) -> dict[str, Any]:
        n = len(self.answers)
        return {
            "task": self.task,
            "sample_id": [f"i{k // self.repeats}" for k in range(n)],
            "repeat": np.array([k % self.repeats for k in range(n)], dtype=np.int32),
        }

    def generations(self) -> pd.DataFrame:
        own = self.answers
        tokens = [len(a.text.split()) if a.tokens is None else a.tokens for a in own]
        return pd.DataFrame(
            {
                **self._places(),
                "ordinal": np.int32(0),
                "role": "candidate",
                "text": pd.Series([a.text for a in own], dtype=object),
                "stop_reason": [a.stop for a in own],
                "completion_tokens": np.array(tokens, dtype=np.int32),
                "prompt": [a.prompt for a in own],
            }
        )

    def scores(self) -> pd.DataFrame:
        own = self.answers
        return pd.DataFrame(
            {
                **self._places(),
                "metric": "correct",
                "value": np.array([a.value for a in own], dtype=np.float64),
                "reason": pd.Series([a.reason for a in own], dtype=object),
                "cluster": pd.Series([a.cluster for a in own], dtype=object),
            }
        )


def prose(seed: int, n: int = 300, words: int = 20, **kwargs: Any) -> list[Said]:
    draw = np.random.default_rng(seed)
    return [Said(" ".join(draw.choice(WORDS, words)), **kwargs) for _ in range(n)]


def planted(answers: Sequence[Said], every: int, change: Callable[[Said], Said]) -> list[Said]:
    return [change(a) if k % every == 0 else a for k, a in enumerate(answers)]


def compare(old: Sequence[Said], new: Sequence[Said], **kwargs: Any) -> Drift:
    """The drift of two lists of answers, with the A/A figures of a model that repeats itself."""
    run = TextRun("old", old, **kwargs)
    floor = figures_by_task(measure_drift(run, run))
    return measure_drift(run, TextRun("new", new, **kwargs), floor, noise_source="the same twice")


def failed(drift: Drift) -> tuple[str, ...]:
    p = drift.p_values()
    return drift.failed(dict(zip(p, holm(list(p.values())), strict=True)))


CALL = '{"name": "f", "arguments": {}}'
HARD: dict[str, Callable[[Said], Said]] = {
    "truncated": lambda a: replace(a, stop="length"),
    "loop": lambda a: replace(a, text=LOOP, tokens=20),
    "empty": lambda a: replace(a, text=" \n", tokens=20),
    "unparsed": lambda a: replace(a, value=0.0, reason="unparsed"),
    "wrong_script": lambda a: replace(a, text="вот другой ответ", tokens=20),
}


@pytest.mark.parametrize("metric", HARD)
def test_a_planted_harm_is_found_and_its_mending_is_not_harm(metric: str) -> None:
    old = prose(1)
    new = planted(old, 15, HARD[metric])
    assert failed(compare(old, new)) == (f"drift/{metric}",)
    assert failed(compare(new, old)) == ()
    row = compare(old, new).row(metric)
    assert row.figures is not None and row.figures.change == pytest.approx(20 / 300)
    assert (row.figures.more, row.figures.less, row.figures.n) == (20, 0, 300)


def test_two_answers_in_three_hundred_are_no_drift() -> None:
    old = prose(1)
    for metric, change in HARD.items():
        assert failed(compare(old, planted(old, 150, change))) == (), metric


def test_broken_calls_are_found_where_the_baseline_speaks_json_and_nowhere_else() -> None:
    calls = [Said(CALL, tokens=9)] * 200
    broken = planted(calls, 10, lambda a: replace(a, text=CALL[:-1]))
    assert failed(compare(calls, broken)) == ("drift/broken_json",)
    no_call = planted(calls, 10, lambda a: replace(a, text="No tool fits."))
    assert failed(compare(calls, no_call)) == ()
    assert compare(prose(1), prose(2)).row("broken_json").figures is None


def test_answers_longer_by_three_quarters_fail_and_by_a_fifth_warn() -> None:
    old = prose(1)
    much, some = prose(2, words=35), prose(2, words=24)
    assert failed(compare(old, much)) == ("drift/length_by_half",)
    drift = compare(old, some)
    assert failed(drift) == ()
    assert drift.row("length").warned
    assert "+20.0%" in drift.warnings[0]


def test_a_length_within_a_tenth_is_shown_to_be_equivalent() -> None:
    figures = compare(prose(1, words=100), prose(2, words=104)).row("length").figures
    assert figures is not None and figures.p_within is not None
    assert figures.p_within < 0.05 and not figures.reaches
    assert figures.change == pytest.approx(math.log(1.04))


def test_a_judge_makes_a_tenth_of_length_hard() -> None:
    judged = {"tasks": {"t": {"metrics": [{"name": "correct"}]}}, "roles": {"judge": {}}}
    drift = compare(prose(1), prose(2, words=24), manifest=judged)
    assert failed(drift) == ("drift/length",)
    assert not drift.row("length").warned


def test_more_repetition_warns() -> None:
    old = prose(1)
    again = planted(old, 3, lambda a: replace(a, text=f"{a.text} {a.text[:60]}", tokens=20))
    assert compare(old, again).row("repetition").warned
    assert not compare(old, prose(2)).row("repetition").warned


def test_the_mix_of_scripts_is_compared_by_the_script_of_the_item() -> None:
    asked = prose(1, prompt="请问这是什么意思呢")
    latin_now = [replace(a, text="这是答案") for a in asked]
    drift = compare(latin_now, planted(latin_now, 10, lambda a: replace(a, text="the answer")))
    figures = drift.row("language_mix").figures
    assert figures is not None and figures.change == pytest.approx(0.1)
    assert drift.row("language_mix").warned
    assert failed(drift) == ("drift/wrong_script",)


def test_the_mix_of_the_same_model_twice_is_taken_off_also_beside_tasks_without_text() -> None:
    tasks = {t: {"metrics": [{"name": "correct"}]} for t in ("t", "u")}
    both: dict[str, Any] = {
        "task": ["t"] * 300 + ["u"] * 50,
        "manifest": {"tasks": tasks, "roles": {}},
    }
    chosen = [Said("[-1.0,-2.0]", stop="choice")] * 50
    old, moved = prose(1), planted(prose(1), 20, HARD["wrong_script"])
    run, other = (TextRun("run", [*a, *chosen], **both) for a in (old, moved))
    floor = figures_by_task(measure_drift(run, other))
    assert floor["t"]["language_mix"].change == pytest.approx(0.05)
    assert "language_mix" not in floor["u"]
    assert not measure_drift(run, other, floor).row("language_mix").warned
    assert (
        measure_drift(run, other, figures_by_task(measure_drift(run, run)))
        .row("language_mix")
        .warned
    )


def test_refusals_are_shown_and_never_gate() -> None:
    old = prose(1)
    refused = [replace(a, text="I cannot help with that.", tokens=20) for a in old]
    row = compare(old, refused).row("refusal")
    assert row.figures is not None and row.figures.change == 1.0
    assert not row.counts and not row.warned and "shown only" in row.why


def flip(answer: Said) -> Said:
    return replace(answer, value=1.0 - (answer.value or 0.0))


def test_churn_warns_above_the_churn_of_the_same_model_twice_although_the_mean_is_equal() -> None:
    draw = np.random.default_rng(3)
    old = [replace(a, value=float(k % 2)) for k, a in enumerate(prose(1, 400))]
    aa = [flip(a) if draw.random() < 0.1 else a for a in old]
    run = TextRun("old", old)
    floor = figures_by_task(measure_drift(run, TextRun("again", aa)))
    third = [flip(a) if k % 8 < 2 else a for k, a in enumerate(old)]  # as many up as down
    noisy = measure_drift(run, TextRun("new", third), floor).row("churn")
    assert noisy.warned
    assert noisy.figures is not None and noisy.figures.change == pytest.approx(0.25)
    same = measure_drift(run, TextRun("new", aa), floor).row("churn")
    assert same.figures is not None and same.figures.change > 0.05
    assert not same.warned


def test_without_an_aa_run_everything_is_shown_and_nothing_counts() -> None:
    old = prose(1)
    new = [replace(a, text=LOOP, stop="length") for a in old]
    drift = measure_drift(TextRun("old", old), TextRun("new", new))
    figures = drift.row("loop").figures
    assert figures is not None and figures.harmed and figures.change == 1.0
    assert (drift.p_values(), drift.warnings) == ({}, ())
    assert drift.failed({"drift/loop": 0.0}) == ()
    assert "No A/A run" in drift.notes[0]


def test_a_run_that_was_stopped_early_counts_for_nothing() -> None:
    run = TextRun("old", prose(1))
    floor = figures_by_task(measure_drift(run, run))
    new = TextRun("new", [replace(a, stop="length") for a in prose(1)], status="stopped")
    assert measure_drift(run, new, floor).p_values() == {}


def test_a_task_without_aa_figures_keeps_the_whole_metric_from_counting() -> None:
    tasks = {t: {"metrics": [{"name": "correct"}]} for t in ("t", "u")}
    run = TextRun("old", prose(1))
    floor = figures_by_task(measure_drift(run, run))
    old = TextRun("old", prose(1), task="u", manifest={"tasks": tasks, "roles": {}})
    drift = measure_drift(old, old, floor)
    assert not any(r.counts for r in drift.rows)


def test_exchanging_the_sides_turns_every_change_round() -> None:
    old = planted(prose(1), 20, HARD["truncated"])
    new = planted([replace(a, tokens=25) for a in planted(prose(2), 9, HARD["loop"])], 7, flip)
    one, two = compare(old, new), compare(new, old)
    for row in one.rows:
        a, b = row.figures, two.row(row.metric).figures
        assert (a is None) == (b is None)
        if a is None or b is None:
            continue
        sign = 1 if row.metric in ("churn", "language_mix") else -1
        assert a.change == pytest.approx(sign * b.change, abs=1e-12), row.metric
        if row.metric in ("length", "churn", "language_mix"):
            assert a.p_harm == pytest.approx(b.p_harm), row.metric
        elif row.figures is not None and a.more != a.less:
            assert min(a.p_harm or 0, b.p_harm or 0) < 0.5 < max(a.p_harm or 0, b.p_harm or 0)


def test_repeats_and_clusters_are_one_unit() -> None:
    old = prose(1, 300)
    new = planted(old, 15, HARD["truncated"])
    repeated = compare(old, new, repeats=3).row("truncated").figures
    assert repeated is not None and repeated.n == 100
    in_clusters = [replace(a, cluster=f"c{k // 5}") for k, a in enumerate(old)]
    cut = planted(in_clusters, 15, HARD["truncated"])
    clustered = compare(in_clusters, cut).row("truncated").figures
    assert clustered is not None and (clustered.n, clustered.more) == (60, 20)
    assert clustered.change == pytest.approx(20 / 300)


def test_private_and_multiple_choice_answers_have_no_text_to_judge() -> None:
    private = [Said(WITHHELD, tokens=30)] * 50
    assert compare(private, private).row("loop").figures is None
    assert compare(private, private).row("length").figures is not None
    chosen = [Said("[-1.0,-2.0]", stop="choice")] * 50
    drift = compare(chosen, planted(chosen, 2, flip))
    measured = [r.metric for r in drift.rows if r.figures]
    assert measured == ["unparsed", "churn"]


def test_an_unscored_answer_has_not_changed() -> None:
    old = prose(1, 60)
    lost = [replace(a, value=None, reason="timeout") for a in old[:20]] + old[20:]
    figures = compare(old, lost).row("churn").figures
    assert figures is not None and (figures.n, figures.change) == (40, 0.0)


def test_answers_of_one_side_are_counted_and_fewer_than_thirty_pairs_never_count() -> None:
    old, new = prose(1, 60), [replace(a, stop="length") for a in prose(1, 20)]
    drift = compare(old, new)
    assert drift.unpaired == (40, 0)
    assert drift.p_values() == {}
    assert "20 items are fewer than 30" in drift.row("truncated").why


def test_nothing_in_common_is_a_drift_without_figures() -> None:
    drift = compare([], [])
    assert all(r.figures is None for r in drift.rows)
    assert drift.p_values() == {}


def test_harm_of_a_margin_is_excluded_only_where_there_are_items_to_see_it() -> None:
    assert "drift/loop" in compare(prose(1, 200), prose(2, 200)).not_excluded()
    assert compare(prose(1, 600), prose(2, 600)).not_excluded() == ()


def test_entropy_and_kl_say_why_they_are_not_measured() -> None:
    drift = compare(prose(1, 40), prose(2, 40))
    for name in ("entropy", "kl"):
        assert drift.row(name).figures is None and "log-probabilities" in drift.row(name).why


def test_the_record_is_json_without_nan_and_has_a_sentence_a_row() -> None:
    drift = compare(prose(1), planted(prose(1), 15, HARD["loop"]))
    data = json.loads(json.dumps(drift.to_dict(), allow_nan=False))
    assert Drift.from_dict(data) == drift
    said = {r["metric"]: r["sentence"] for r in data["rows"]}
    assert said["loop"].startswith("answers that repeat four words eight times: +6.7 points [")
    assert said["loop"].endswith("DRIFT.")


def test_hostile_answers_do_not_hang_and_are_compared() -> None:
    hostile = ["a" * 1_000_000, "\ud800" * 1000, "", "{" * 100_000, "[1]\x00", "🙂" * 50_000]
    old = [Said(hostile[k % 6] + str(k)) for k in range(60)]
    began = time.process_time()
    drift = compare(old, old[::-1])
    assert time.process_time() - began < 4.0
    assert drift.row("loop").figures is not None


TEXTS = [" ".join(WORDS[k : k + 8 + k % 22]) for k in range(300)]


def _drawn(draw: np.random.Generator, rates: np.ndarray[Any, Any]) -> list[Said]:
    """Answers of one model: each item has its own chance of each misdeed."""
    answers = []
    for truncates, loops, silent, right in rates:
        chance = draw.random(4)
        text = TEXTS[int(draw.integers(300))]
        text = LOOP if chance[1] < loops else "" if chance[2] < silent else text
        stop = "length" if chance[0] < truncates else "stop"
        value = float(chance[3] < right)
        reason = "unparsed" if not value and chance[0] < 0.5 else None
        answers.append(Said(text, stop=stop, value=value, reason=reason))
    return answers


def test_a_model_against_itself_seldom_fails_or_warns() -> None:
    """Splits of one model's answers at pull-request size; each rate has room for chance alone."""
    draw, runs, n = np.random.default_rng(20261120), 40, 120
    fails = warns = alone = 0
    for _ in range(runs):
        rates = draw.beta(0.4, 2.0, size=(n, 4))
        sides = [TextRun(name, _drawn(draw, rates)) for name in ("aa", "old", "new")]
        floor = figures_by_task(measure_drift(sides[1], sides[0]))
        drift = measure_drift(sides[1], sides[2], floor)
        assert len(drift.p_values()) >= 6
        fails += bool(failed(drift))
        warns += bool(drift.warnings)
        alone += any(r.figures.harmed for r in drift.rows if r.figures and r.kind == "hard")
    assert fails / runs <= 0.10
    assert warns / runs <= 0.20
    assert alone / runs > 0.10  # without Holm's correction the same Runs do fail
