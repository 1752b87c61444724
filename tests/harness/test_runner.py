"""The runner answers every conversation once, in any order of arrival, and blames the right side."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from waterbed import FakeBackend
from waterbed.harness.errors import BackendError, UsageError
from waterbed.harness.journal import Journal
from waterbed.harness.records import Fault, Generation
from waterbed.harness.runner import Runner, TaskPlan, hash_order
from waterbed.harness.tasks import Task, resolve

TOYS = str(Path(__file__).with_name("toy_tasks.py"))


@pytest.fixture
def toys() -> dict[str, Task]:
    return {t.name: t for t in resolve([TOYS])}


def plan(task: Task, **kwargs: object) -> TaskPlan:
    return TaskPlan(task, hash_order(task, task.items, 0), **kwargs)  # type: ignore[arg-type]


def add(prompt: str) -> str:
    a, b = prompt.rstrip("=").split("+")
    return str(int(a) + int(b))


def test_every_item_gets_one_score(toys: dict[str, Task]) -> None:
    outcome = Runner({"candidate": FakeBackend(add)}).run([plan(toys["toy/sums"])])
    assert len(outcome.scores) == 40
    assert {s.value for s in outcome.scores.values()} == {1.0}


def test_a_conversation_gets_each_answer_to_its_own_question(toys: dict[str, Task]) -> None:
    candidate = FakeBackend(lambda prompt: f"<{prompt}>", batch_size=3)
    judge = FakeBackend(lambda prompt: "yes" if "after <q" in prompt else "no", batch_size=7)
    outcome = Runner({"candidate": candidate, "judge": judge}).run([plan(toys["toy/dialogue"])])
    assert {s.value for s in outcome.scores.values()} == {1.0}
    for (_, sample_id, _), score in outcome.scores.items():
        assert score.detail["turns"][1] == f"<q{sample_id} after <q{sample_id} first>>"


def test_a_fault_of_the_backend_is_unscored_and_never_zero(toys: dict[str, Task]) -> None:
    backend = FakeBackend(lambda p: Fault("backend_error", "lost") if p == "3+4=" else add(p))
    outcome = Runner({"candidate": backend}).run([plan(toys["toy/sums"])])
    lost = outcome.scores[("toy/sums", "3+4", 0)]
    assert (lost.value, lost.reason) == (None, "backend_error")
    assert sum(s.scored for s in outcome.scores.values()) == 39


def test_a_grader_that_raises_is_a_scorer_error_of_that_sample_only(toys: dict[str, Task]) -> None:
    backend = FakeBackend(lambda p: "raise" if p == "0+0=" else add(p))
    outcome = Runner({"candidate": backend}).run([plan(toys["toy/sums"])])
    assert outcome.scores[("toy/sums", "0+0", 0)].reason == "scorer_error"
    assert sum(s.value == 1.0 for s in outcome.scores.values()) == 39


def test_an_empty_answer_is_the_models_fault_and_says_so(toys: dict[str, Task]) -> None:
    outcome = Runner({"candidate": FakeBackend(lambda p: "  ")}).run([plan(toys["toy/sums"])])
    assert {(s.value, s.reason) for s in outcome.scores.values()} == {(0.0, "empty")}


def test_stop_is_asked_after_complete_blocks_and_ends_only_its_task(toys: dict[str, Task]) -> None:
    asked: list[tuple[str, int]] = []

    def stop(task: str, scores: object) -> bool:
        asked.append((task, len(scores)))  # type: ignore[arg-type]
        return task == "toy/sums" and len(scores) >= 20  # type: ignore[arg-type]

    backends = {
        "candidate": FakeBackend(lambda p: "x", batch_size=4),
        "judge": FakeBackend(lambda p: "yes"),
    }
    plans = [
        plan(toys["toy/sums"], looks=(10, 20, 30)),
        plan(toys["toy/dialogue"], looks=(5,)),
    ]
    outcome = Runner(backends, stop=stop).run(plans)  # type: ignore[arg-type]
    assert outcome.stopped == {"toy/sums"}
    assert sum(k[0] == "toy/sums" for k in outcome.scores) == 20
    assert sum(k[0] == "toy/dialogue" for k in outcome.scores) == 20
    assert sorted(asked) == [("toy/dialogue", 5), ("toy/sums", 10), ("toy/sums", 20)]


def test_blocks_are_prefixes_of_the_hash_order(toys: dict[str, Task]) -> None:
    task = toys["toy/sums"]
    order = [s.id for s in hash_order(task, task.items, 0)]
    stop_at_ten = Runner({"candidate": FakeBackend(add)}, stop=lambda name, scores: True)
    outcome = stop_at_ten.run([plan(task, looks=(10,))])
    assert {k[1] for k in outcome.scores} == set(order[:10])
    assert order != [s.id for s in task.items]
    assert order != [s.id for s in hash_order(task, task.items, 1)]


def test_repeats_are_separate_answers_with_their_own_seeds(toys: dict[str, Task]) -> None:
    outcome = Runner({"candidate": FakeBackend(add)}).run([plan(toys["toy/sums"], repeats=3)])
    assert len(outcome.scores) == 120
    assert len({e.ticket.seed for e in outcome.entries}) == 120
    assert len({e.key for e in outcome.entries}) == 120


def test_a_role_without_a_backend_is_a_usage_error_naming_it(toys: dict[str, Task]) -> None:
    with pytest.raises(UsageError, match="judge"):
        Runner({"candidate": FakeBackend(lambda p: "x")}).run([plan(toys["toy/dialogue"])])


def test_a_backend_that_breaks_down_ends_the_run_but_loses_no_answer(
    toys: dict[str, Task], tmp_path: Path
) -> None:
    calls = 0

    def breaks(prompt: str) -> str:
        nonlocal calls
        calls += 1
        if calls > 25:
            raise ConnectionError("gone")
        return add(prompt)

    journal = Journal(tmp_path / "answers.jsonl")
    with pytest.raises(BackendError, match="ConnectionError: gone"):
        Runner({"candidate": FakeBackend(breaks, batch_size=5)}, log=journal).run(
            [plan(toys["toy/sums"])]
        )
    journal.close()
    reread = Journal(tmp_path / "answers.jsonl")
    reread.close()
    assert len(reread) == 25


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_a_backend_that_tries_to_leave_is_a_failure_not_a_silence(
    toys: dict[str, Task], error: type[BaseException]
) -> None:
    def leaves(prompt: str) -> str:
        raise error

    with pytest.raises(BackendError, match=error.__name__):
        Runner({"candidate": FakeBackend(leaves)}).run([plan(toys["toy/sums"])])


def test_a_resumed_run_asks_only_for_what_is_missing(toys: dict[str, Task], tmp_path: Path) -> None:
    task = toys["toy/dialogue"]
    path = tmp_path / "answers.jsonl"

    def backends(asked: list[str]) -> dict[str, FakeBackend]:
        def say(prompt: str) -> str:
            asked.append(prompt)
            return f"<{prompt}>"

        return {"candidate": FakeBackend(say), "judge": FakeBackend(lambda p: "yes")}

    first: list[str] = []
    journal = Journal(path)
    whole = Runner(backends(first), log=journal).run([plan(task)])  # type: ignore[arg-type]
    journal.close()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:31]) + lines[31][:17])  # killed while writing

    again: list[str] = []
    journal = Journal(path)
    resumed = Runner(backends(again), log=journal).run([plan(task)])  # type: ignore[arg-type]
    journal.close()
    assert resumed.scores == whole.scores
    assert 0 < len(again) < len(first)
    keys = [e.key for e in resumed.entries]
    assert len(keys) == len(set(keys)) == 60


class Lockstep(FakeBackend):
    """Answers depend on the batch, as with a real engine."""

    lockstep = True

    def answer(self, tickets):  # type: ignore[no-untyped-def]
        for index, ticket in enumerate(tickets):
            mark = "|".join(sorted(t.rendered for t in tickets))
            yield index, Generation(f"{ticket.rendered}#{hash(mark) % 9973}")


def test_in_lockstep_a_cut_batch_is_recomputed_with_the_same_neighbors(
    toys: dict[str, Task], tmp_path: Path
) -> None:
    task = toys["toy/sums"]
    path = tmp_path / "answers.jsonl"
    journal = Journal(path)
    whole = Runner({"candidate": Lockstep(add, batch_size=8)}, log=journal).run([plan(task)])
    journal.close()
    lines = path.read_bytes().splitlines(keepends=True)
    for kept in (0, 3, 8, 21, 39):
        path.write_bytes(b"".join(lines[:kept]))
        journal = Journal(path)
        again = Runner({"candidate": Lockstep(add, batch_size=8)}, log=journal).run([plan(task)])
        journal.close()
        assert again.scores == whole.scores


def test_scoring_goes_on_while_the_backend_generates(toys: dict[str, Task]) -> None:
    """Both roles must be in flight at once, or this deadlocks and times out."""
    judge_called = threading.Event()

    def candidate(prompt: str) -> str:
        if prompt.startswith("q19 after") and not judge_called.wait(timeout=20):
            raise TimeoutError("no judge request arrived while the candidate was busy")
        return prompt

    def judge(prompt: str) -> str:
        judge_called.set()
        return "yes"

    backends = {
        "candidate": FakeBackend(candidate, batch_size=1),
        "judge": FakeBackend(judge, batch_size=1),
    }
    items = sorted(toys["toy/dialogue"].items, key=lambda s: int(s.id))
    outcome = Runner(backends).run([TaskPlan(toys["toy/dialogue"], items)])  # type: ignore[arg-type]
    assert all(s.value == 1.0 for s in outcome.scores.values())
