"""Conversations with tau-bench's customers, run whole: won, lost, cut, killed and resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import tau_agents

from waterbed import FakeBackend, evaluate
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.errors import UsageError
from waterbed.harness.records import Fault, Generation, Score, ToolCall
from waterbed.harness.run import Run
from waterbed.harness.runner import Runner, TaskPlan
from waterbed.harness.tasks import Task, tasks
from waterbed.suites.tau_bench.tasks import STEPS

pytestmark = pytest.mark.skipif(
    not (Path(os.environ.get("WATERBED_DATA", "/nonexistent")) / "tau_bench").is_dir(),
    reason="WATERBED_DATA is not set",
)
NAMES = ("tau-bench/airline", "tau-bench/retail")
Answer = Callable[[str], "str | Generation | Fault"]


@pytest.fixture(scope="module")
def airline() -> Task:
    return tasks.get("tau-bench/airline")


def played(task: Task, items: int, agent: Answer, customer: Answer | None = None) -> list[Score]:
    """Scores of the first items, in their order."""
    user = FakeBackend(customer) if customer else tau_agents.customer([task])
    runner = Runner({"candidate": FakeBackend(agent), "user": user})
    outcome = runner.run([TaskPlan(task, task.items[:items])])
    return [outcome.scores[task.name, s.id, 0] for s in task.items[:items]]


def calling(name: str, arguments: str, times: int = 1) -> Answer:
    """An agent that makes this call in every turn."""
    return lambda prompt: Generation("", calls=(ToolCall(name, arguments),) * times)


@pytest.mark.parametrize("name", NAMES)
def test_an_agent_that_makes_the_gold_calls_wins_every_conversation(name: str) -> None:
    task = tasks.get(name)
    user = tau_agents.customer([task])
    runner = Runner({"candidate": tau_agents.agent([task]), "user": user})
    outcome = runner.run([TaskPlan(task, task.items)])
    lost = {key: s for key, s in outcome.scores.items() if s.value != 1.0}
    assert not lost
    assert len(outcome.scores) == task.card.items


def test_an_agent_that_only_talks_wins_where_nothing_was_to_be_changed(airline: Task) -> None:
    scores = played(airline, 50, lambda prompt: "I can not help you with that.")
    for sample, score in zip(airline.items, scores, strict=True):
        changed = airline.body.domain.after(sample.target["actions"]).changes()
        assert score.value == float(not changed and not sample.target["outputs"])
        assert score.reason == (None if score.value else "wrong")
    assert 0 < sum(s.value == 1.0 for s in scores) < 25


def test_the_agent_sees_the_policy_the_documents_and_what_its_calls_gave(airline: Task) -> None:
    seen: list[dict[str, object]] = []

    def agent(prompt: str) -> Generation:
        seen.append(json.loads(prompt))
        call = ToolCall("get_user_details", '{"user_id": "mia_li_3668"}', "first")
        ignored = ToolCall("cancel_reservation", '{"reservation_id": "NO6JO3"}', "second")
        if len(seen) == 1:
            return Generation("one moment", calls=(call, ignored))
        return Generation("bye")

    (score,) = played(airline, 1, agent)
    first, second = seen
    assert first["messages"][0]["content"].startswith("# Airline Agent Policy")  # type: ignore[index]
    assert len(first["tools"]) == 14  # type: ignore[arg-type]
    spoken, told = second["messages"][-2:]  # type: ignore[index]
    assert [c["id"] for c in spoken["tool_calls"]] == ["first"], "only the first call is made"
    assert (told["role"], told["tool_call_id"]) == ("tool", "first")
    assert json.loads(told["content"])["reservations"] == ["NO6JO3", "AIXC49", "HKEG34"]
    assert score.detail["steps"] == 2


def test_the_expected_output_counts_only_where_it_is_said_to_the_customer(airline: Task) -> None:
    sample = next(s for s in airline.items if s.target["outputs"])
    gold = sample.target

    def agent(last: str) -> Answer:
        def answer(prompt: str) -> Generation:
            done = sum(m["role"] == "tool" for m in json.loads(prompt)["messages"])
            if done < len(gold["actions"]):
                return tau_agents.gold_turn(gold, done)
            return Generation(last)

        return answer

    said = ",".join([gold["outputs"][0][:2], gold["outputs"][0][2:]])
    for last, value in [(f"It is {said}", 1.0), ("It is done", 0.0)]:
        backends = {"candidate": FakeBackend(agent(last)), "user": tau_agents.customer([airline])}
        outcome = Runner(backends).run([TaskPlan(airline, [sample])])  # type: ignore[arg-type]
        (score,) = outcome.scores.values()
        assert score.value == value
        assert score.detail["not_said"] == ([] if value else gold["outputs"])


@pytest.mark.parametrize(
    ("agent", "reason"),
    [
        (lambda prompt: "", "step_limit"),
        (calling("get_user_details", '{"user_id": "mia_li_3668"}'), "step_limit"),
        (calling("think", '{"thought": "x"}', times=10_000), "step_limit"),
        (calling("no_such_tool", "{}"), "step_limit"),
        (calling("get_user_details", "I want my money back"), "step_limit"),
        (calling("get_user_details", '{"user_id": "\\ud800"}'), "step_limit"),
        (calling("cal\ud800culate", '{"expression": "\ud800"}'), "step_limit"),
        (calling("book_reservation", '{"flights": ' + "[" * 10_000), "step_limit"),
        (calling("transfer_to_human_agents", "{}"), "wrong"),
    ],
)
def test_whatever_the_agent_does_the_conversation_ends_and_is_the_agents_fault(
    airline: Task, agent: Answer, reason: str
) -> None:
    turns = 0

    def counted(prompt: str) -> str | Generation | Fault:
        nonlocal turns
        turns += 1
        prompt.encode()  # a model can be asked this
        return agent(prompt)

    (score,) = played(airline, 1, counted, lambda prompt: "And then? " + "x" * 10_000)
    assert (score.value, score.reason) == (0.0, reason)
    assert turns == (STEPS if reason == "step_limit" else 1)


def test_a_customer_that_fails_leaves_the_conversation_unscored_and_the_others_alone(
    airline: Task,
) -> None:
    hasty, unlucky = tau_agents.customer([airline]), airline.items[3].input["instruction"]

    def customer(prompt: str) -> str | Generation | Fault:
        return (
            Fault("timeout", "no answer")
            if unlucky in json.loads(prompt)[0]["content"]
            else (hasty.fn(prompt))
        )

    scores = played(airline, 8, tau_agents.agent([airline]).fn, customer)
    assert [s.value for s in scores] == [1.0] * 3 + [None] + [1.0] * 4
    assert scores[3].reason == "timeout"


def test_without_a_customer_the_refusal_says_what_to_pass(
    airline: Task, pocket_base: Checkpoint, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="role 'user', which has no backend; pass --user"):
        evaluate(
            pocket_base, [airline.name], tmp_path, backend=tau_agents.agent([airline]), limit=1
        )


def test_several_conversations_a_task_carry_pass_hat_k(
    airline: Task, pocket_base: Checkpoint, tmp_path: Path
) -> None:
    """The agent wins the first two of four conversations with each customer."""
    gold, turns = tau_agents.agent([airline]), dict[str, int]()

    def agent(prompt: str) -> str | Generation | Fault:
        opening = json.loads(prompt)["messages"][1]["content"]
        turns[opening] = turns.get(opening, 0) + (prompt.count('"role":"tool"') == 0)
        return gold.fn(prompt) if turns[opening] <= 2 else "No."

    run = evaluate(
        pocket_base,
        [airline.name],
        tmp_path,
        backend=FakeBackend(agent, batch_size=1),
        judges={"user": tau_agents.customer([airline])},
        samples=4,
        limit=5,
    )
    found = run.results()[airline.name]
    assert run.manifest["tasks"][airline.name]["settings"]["temperature"] == 0.0
    assert found["extra"]["pass^1"] == pytest.approx(found["metrics"]["reward"]["mean"])
    assert found["extra"]["pass^4"] <= found["extra"]["pass^2"] <= found["extra"]["pass^1"] < 1


def test_a_run_killed_in_mid_conversation_ends_in_the_same_bytes(
    pocket_base: Checkpoint, tmp_path: Path
) -> None:
    def command(out: str) -> list[str]:
        script = Path(tau_agents.__file__)
        return [sys.executable, str(script), str(pocket_base.path), str(tmp_path / out), "0.003"]

    tau_agents.evaluated(pocket_base.path, tmp_path / "whole")
    whole = (tmp_path / "whole" / "answers.jsonl").read_bytes()
    for share in (0.3, 0.7):
        process = subprocess.Popen(command("cut"), stderr=subprocess.DEVNULL)
        journal = tmp_path / "cut" / "answers.jsonl"
        while not journal.exists() or journal.stat().st_size < share * len(whole):
            assert process.poll() is None, "it was finished before it could be killed"
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert Run.open(tmp_path / "cut").status == "partial"
    begun = [json.loads(line) for line in journal.read_bytes().split(b"\n")[:-1]]
    assert max(row["ordinal"] for row in begun) > 2, "killed before any conversation had turns"
    tau_agents.evaluated(pocket_base.path, tmp_path / "cut")
    for name in ("scores.parquet", "results.json"):
        ends = [(tmp_path / run / name).read_bytes() for run in ("whole", "cut")]
        assert ends[0] == ends[1], name
    assert len(journal.read_bytes().splitlines()) == len(whole.splitlines())
