"""AlpacaEval's published figures come out of its published annotations, and its length control of its weights."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from waterbed.harness.backends.fake import FakeBackend
from waterbed.harness.errors import DataError, UsageError
from waterbed.harness.folders import data_root
from waterbed.harness.judging import KEY
from waterbed.harness.records import Generation, Score
from waterbed.harness.runner import Runner
from waterbed.harness.tasks import Task, resolve
from waterbed.suites.alpaca_figures import Weights, fit, predict, read_gamed, win_rate

LOCAL = ("NullModel", "claude-2.1", "gpt-3.5-turbo-1106", "gemma-7b-it")
#: What the vectors state for the prediction step, in points.
LARGEST, MEAN = 0.18, 0.005


@pytest.fixture(scope="module")
def vectors() -> Mapping[str, Any]:
    """Published figures, recomputed by the reference."""
    file = Path(os.environ.get("WATERBED_VECTORS", "")) / "alpaca_eval2.json"
    if not file.is_file():
        pytest.skip("WATERBED_VECTORS has no alpaca_eval2.json")
    found: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("model", LOCAL)
def test_published_win_rates_errors_and_counts(vectors: Mapping[str, Any], model: str) -> None:
    known = vectors["models"][model]
    file = Path(data_root() or ".") / known["local_copy"].removeprefix("data/")
    if not file.is_file():
        pytest.skip(f"{file} is not there")
    found = win_rate([row["preference"] for row in json.loads(file.read_text(encoding="utf-8"))])
    for expected in (known["published"], known["recomputed"]):
        assert 100 * found.win_rate == pytest.approx(expected["win_rate"], abs=1e-6)
        assert 100 * found.standard_error == pytest.approx(expected["standard_error"], abs=1e-6)
        counts = tuple(expected[k] for k in ("n_wins", "n_wins_base", "n_draws"))
        assert (found.wins, found.losses, found.draws) == counts
        assert 100 * found.discrete == pytest.approx(expected["discrete_win_rate"], abs=1e-9)


def test_zero_is_a_draw_and_none_was_not_judged() -> None:
    found = win_rate([0, 1.5, None, 2.0, 1.0])
    assert (found.wins, found.losses, found.draws, found.discrete) == (1, 1, 2, 0.5)
    with pytest.raises(ValueError, match="two judged"):
        win_rate([None, 2.0])


def test_published_weights_predict_the_published_length_controlled_rates(
    vectors: Mapping[str, Any],
) -> None:
    steps = np.asarray(vectors["recovered_difficulty_distribution"])
    counts = np.maximum(1, np.round(steps[:, 1] * 200_000)).astype(int)
    difficulty = np.repeat(steps[:, 0], counts)
    errors = {
        name: abs(100 * predict(Weights(*row["w"]), list(difficulty)).win_rate - row["lc"])
        for name, row in vectors["all_published_lc"].items()
        if any(row["w"])
    }
    assert len(errors) >= 190
    assert max(errors.values()) < LARGEST
    assert sum(errors.values()) / len(errors) < MEAN


def gamed_rows(n: int, seed: int) -> list[dict[str, float]]:
    """Two baselines that differ from the baseline in length alone, in the columns of df_gamed.csv."""
    rng = np.random.default_rng(seed)
    hard = np.random.default_rng(5).normal(0, 1.5, n)
    rows = []
    for lean in (-1.0, 1.0):
        apart = rng.normal(lean, 1.0, n)
        share = 1 / (1 + np.exp(2.0 * np.tanh(apart) - 0.5 * hard))
        rows += [
            {"index": k, "preference": share[k], "std_delta_len": apart[k], "instruction_difficulty": hard[k]}
            for k in range(n)
        ]  # fmt: skip
    return rows


def table(rows: list[dict[str, float]], path: Path) -> Path:
    lines = [",".join(rows[0]), *(",".join(str(v) for v in row.values()) for row in rows)]
    path.write_text("\n".join(lines))
    return path


def test_the_fit_takes_length_out_and_finds_the_weights_it_was_made_with(tmp_path: Path) -> None:
    gamed = read_gamed(table(gamed_rows(400, 1), tmp_path / "df_gamed.csv"))
    rng = np.random.default_rng(2)
    base = rng.integers(500, 1500, 400)
    own = base + rng.normal(600, 400, 400).astype(int)
    apart = (base - own) / (base - own).std(ddof=1)
    shares = 1 / (1 + np.exp(-(-2.0 * np.tanh(apart) + 0.5 * gamed.difficulty - 0.4)))
    found = fit(list(shares), list(own), list(base), list(gamed.difficulty), gamed)
    assert found.length == pytest.approx(-2.0, abs=0.15)
    assert found.difficulty == pytest.approx(0.5, abs=0.1)
    assert found.model == pytest.approx(-0.4, abs=0.15)
    controlled = predict(found, list(gamed.difficulty)).win_rate
    assert shares.mean() > 0.6 > 0.5 > controlled


def test_a_table_that_is_another_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"df_gamed\.csv"):
        read_gamed(table([{"index": 0.0, "preference": 1.0}], tmp_path / "x.csv"))


@pytest.fixture
def written() -> Task:
    """The task before judges that write."""
    (found,) = resolve(["alpaca-eval-2@written"])
    try:
        assert found.items
    except UsageError as error:
        pytest.skip(str(error))
    return found


def judged(task: Task, n: int, judge: Any) -> dict[str, list[Score]]:
    chosen = task.items[:n]
    pairs = [(s, Generation(f"An answer of its own to number {s.id}.")) for s in chosen]
    scores = Runner({"judge": FakeBackend(judge)}).score(task, pairs)
    return {s.id: [score] for s, score in zip(chosen, scores, strict=True)}


def fond(asked: str) -> str:
    """Prefers the answer that is ours, wherever it stands."""
    return "m" if asked.index("An answer of its own") < asked.index('identifier\\": \\"M') else "M"


def test_the_official_prompt_is_filled_in_both_orders(written: Task) -> None:
    scores = judged(written, 20, fond)
    assert [own[0].value for own in scores.values()] == [1.0] * 20
    extra = written.aggregate(scores)
    assert extra == {"won": 1.0, "lost": 0.0, "drawn": 0.0, "discrete_win_rate": 1.0}


def test_a_judge_that_writes_more_than_a_letter_is_not_believed(written: Task) -> None:
    scores = judged(written, 3, lambda _: "The best one is m.")
    assert {own[0].reason for own in scores.values()} == {"judge_unparsed"}


def test_without_the_authors_table_the_reason_stands_in_the_run(written: Task) -> None:
    (why,) = written.judging["absent"].values()
    assert "df_gamed.csv is not in" in why


def test_with_the_authors_table_every_instruction_must_be_judged(
    written: Task, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = data_root()
    assert root is not None
    folder = tmp_path / "alpaca_eval2"
    folder.mkdir()
    for own in (root / "alpaca_eval2").iterdir():
        (folder / own.name).symlink_to(own)
    table(gamed_rows(805, 1), folder / "df_gamed.csv")
    monkeypatch.setenv("WATERBED_DATA", str(tmp_path))
    (task,) = resolve(["alpaca-eval-2@written"])
    assert "absent" not in task.judging
    detail = {KEY: {}, "characters": 900}
    rng = np.random.default_rng(1)
    scores = {
        s.id: [Score(float(rng.random() < 0.4), detail={**detail, "characters": int(rng.integers(300, 3000))})]
        for s in task.items
    }  # fmt: skip
    extra = task.aggregate(scores)
    assert 0.2 < extra["lc_win_rate"] < 0.6 and extra["lc_standard_error"] > 0
    assert "lc_win_rate" not in task.aggregate(dict(list(scores.items())[:-1]))


def test_another_variant_is_refused() -> None:
    with pytest.raises(UsageError, match="@written"):
        resolve(["alpaca-eval-2@loud"])
