"""evaluate and score write complete Runs, resume them, and refuse what cannot be trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import waterbed
from waterbed import FakeBackend
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.errors import DataError, Interrupted, UnknownName, UsageError
from waterbed.harness.records import Fault
from waterbed.harness.run import Run

TOYS = str(Path(__file__).with_name("toy_tasks.py"))
SOME = Checkpoint(Path("some"), "0" * 64)


def add(prompt: str) -> str:
    a, b = prompt.rstrip("=").split("+")
    return str(int(a) + int(b))


@pytest.fixture
def sums(tmp_path: Path) -> str:
    """The sums task alone, in a file of its own."""
    source = Path(TOYS).read_text().split('@task("toy/dialogue"')[0]
    file = tmp_path / "sums.py"
    file.write_text(source)
    return str(file)


def evaluate(suite: str, out: Path, backend: FakeBackend, **kwargs: Any) -> Run:
    return waterbed.evaluate(SOME, [suite], out, backend=backend, **kwargs)


def test_a_run_has_every_file_of_the_contract(sums: str, tmp_path: Path) -> None:
    run = evaluate(sums, tmp_path / "run", FakeBackend(add))
    assert run.status == "complete"
    assert sorted(p.name for p in run.path.iterdir() if not p.name.startswith(".")) == [
        "answers.jsonl",
        "generations.parquet",
        "results.json",
        "run.json",
        "scores.parquet",
    ]
    entry = run.manifest["tasks"]["toy/sums"]
    assert (entry["items"], entry["domain"], len(entry["prompt_hash"])) == (40, "math", 16)
    assert run.results()["toy/sums"]["metrics"]["correct"] == {
        "mean": 1.0,
        "se": 0.0,
        "n": 40,
        "unscored": {},
    }
    assert list(run.scores().columns) == [
        *("task", "sample_id", "repeat", "metric"),
        *("value", "reason", "extracted", "detail", "cluster"),
    ]


def test_results_count_the_unscored_by_reason_and_keep_them_out_of_the_mean(
    sums: str, tmp_path: Path
) -> None:
    backend = FakeBackend(lambda p: Fault("timeout", "slow") if p.startswith("0") else add(p))
    run = evaluate(sums, tmp_path / "run", backend)
    correct = run.results()["toy/sums"]["metrics"]["correct"]
    assert (correct["mean"], correct["n"], correct["unscored"]) == (1.0, 35, {"timeout": 5})
    assert run.scores()["value"].isna().sum() == 5


def test_running_the_same_command_again_asks_nothing_and_changes_nothing(
    sums: str, tmp_path: Path
) -> None:
    run = evaluate(sums, tmp_path / "run", FakeBackend(add))
    before = (run.path / "scores.parquet").read_bytes()

    def never(prompt: str) -> str:
        raise AssertionError(prompt)

    evaluate(sums, tmp_path / "run", FakeBackend(never))
    assert (run.path / "scores.parquet").read_bytes() == before


def test_an_interrupted_run_is_partial_and_resumes_to_the_same_bytes(
    sums: str, tmp_path: Path
) -> None:
    whole = evaluate(sums, tmp_path / "whole", FakeBackend(add, batch_size=4))
    calls = 0

    def interrupted(done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 17:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="resumes"):
        evaluate(sums, tmp_path / "cut", FakeBackend(add, batch_size=4), progress=interrupted)
    assert Run.open(tmp_path / "cut").status == "partial"
    resumed = evaluate(sums, tmp_path / "cut", FakeBackend(add, batch_size=4))
    for name in ("scores.parquet", "results.json"):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_a_run_cannot_be_continued_with_another_model_or_seed(sums: str, tmp_path: Path) -> None:
    evaluate(sums, tmp_path / "run", FakeBackend(add))
    with pytest.raises(UsageError, match=r"backend\.identity"):
        evaluate(sums, tmp_path / "run", FakeBackend(add, identity="other"))
    with pytest.raises(UsageError, match="seed"):
        evaluate(sums, tmp_path / "run", FakeBackend(add), seed=1)
    assert (
        evaluate(sums, tmp_path / "run", FakeBackend(add), seed=1, fresh=True).status == "complete"
    )


def test_a_folder_with_other_things_in_it_is_left_alone(sums: str, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match=r"thesis\.txt"):
        evaluate(sums, tmp_path / "run", FakeBackend(add))


def test_limit_takes_a_prefix_of_the_hash_order(sums: str, tmp_path: Path) -> None:
    few = evaluate(sums, tmp_path / "few", FakeBackend(add), limit=7)
    more = evaluate(sums, tmp_path / "more", FakeBackend(add), limit=20)
    assert set(few.scores()["sample_id"]) < set(more.scores()["sample_id"])
    with pytest.raises(UsageError, match="got 0"):
        evaluate(sums, tmp_path / "none", FakeBackend(add), limit=0)


def test_decoding_settings_replace_the_tasks_own_and_are_recorded(
    sums: str, tmp_path: Path
) -> None:
    run = evaluate(sums, tmp_path / "run", FakeBackend(add), settings={"temperature": 0.5})
    settings = run.manifest["tasks"]["toy/sums"]["settings"]
    assert (settings["temperature"], settings["max_tokens"]) == (0.5, 8)
    with pytest.raises(UsageError, match=r"got -1"):
        evaluate(sums, tmp_path / "bad", FakeBackend(add), settings={"temperature": -1})


def test_results_tell_the_tokens_spent_on_each_solved_item(sums: str, tmp_path: Path) -> None:
    backend = FakeBackend(lambda p: add(p) if p.startswith("1") else "three words here")
    run = evaluate(sums, tmp_path / "run", backend)
    assert run.results()["toy/sums"]["cost"] == {
        "prompt_tokens": 40,
        "completion_tokens": 5 + 35 * 3,
        "per_solved": (5 + 35 * 3) / 5,
    }


def test_an_unknown_suite_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'gsm8k'"):
        evaluate("gms8k", tmp_path / "run", FakeBackend(add))


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_recorded_answers_are_scored_without_a_model(sums: str, tmp_path: Path) -> None:
    rows = [{"id": f"{a}+{b}", "response": str(a + b)} for a in range(8) for b in range(5)]
    run = waterbed.score(sums, write(tmp_path / "r.jsonl", rows), tmp_path / "run")
    assert run.results()["toy/sums"]["metrics"]["correct"]["mean"] == 1.0
    assert run.label == "r"


def test_a_missing_response_is_unscored_not_wrong(sums: str, tmp_path: Path) -> None:
    rows = [{"id": "1+1", "response": "2"}]
    run = waterbed.score(sums, write(tmp_path / "r.jsonl", rows), tmp_path / "run")
    correct = run.results()["toy/sums"]["metrics"]["correct"]
    assert (correct["mean"], correct["n"]) == (1.0, 1)
    assert correct["unscored"] == {"missing_response": 39}


def test_ids_the_suite_does_not_have_are_refused_by_name(sums: str, tmp_path: Path) -> None:
    rows = [{"id": "1+1", "response": "2"}, {"id": "99+1", "response": "100"}]
    with pytest.raises(DataError, match=r"99\+1"):
        waterbed.score(sums, write(tmp_path / "r.jsonl", rows), tmp_path / "run")
