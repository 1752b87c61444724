"""BFCL's conversations are played and judged as the reference does, and survive a kill."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waterbed import evaluate
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.errors import InstrumentError, UsageError
from waterbed.harness.journal import Journal
from waterbed.harness.records import Generate, Generation, Sample, Score, ToolCall
from waterbed.harness.run import Run
from waterbed.harness.tasks import Task, tasks
from waterbed.suites import bfcl_worker
from waterbed.suites.bfcl_decode import NotCalls, call_strings, written_calls
from waterbed.suites.bfcl_multi_turn import STEPS, offer
from waterbed.suites.bfcl_simulators import Scene, World, check, need_simulators
from waterbed.suites.bfcl_worker import Overrun, Simulators

VECTORS = Path(os.environ.get("WATERBED_VECTORS", ""))
AGENTS = Path(__file__).with_name("bfcl_agents.py")
needs_vectors = pytest.mark.skipif(
    not os.environ.get("WATERBED_VECTORS"), reason="needs WATERBED_VECTORS"
)
MATHS = Scene(("MathAPI", "GorillaFileSystem"), {"GorillaFileSystem": {}})


@pytest.fixture(scope="module")
def conversations() -> Task:
    pytest.importorskip("bfcl_eval", reason="needs bfcl-eval, installed with --no-deps")
    task = tasks.get("bfcl-multi-turn")
    try:
        assert task.items
    except UsageError as error:
        pytest.skip(str(error))
    return task


@pytest.fixture(scope="module")
def recorded() -> list[dict[str, Any]]:
    lines = (VECTORS / "bfcl_multi_turn.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def agents() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bfcl_agents", AGENTS)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def scene(sample: Sample) -> Scene:
    long = sample.target["category"] == "multi_turn_long_context"
    return Scene(tuple(sample.input["classes"]), sample.input["config"], long)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def state_hash(instance: object) -> str:
    """As the recorded hashes were taken: JSON where it can be, else the text of the dict."""
    public = {k: v for k, v in vars(instance).items() if not k.startswith("_")}
    try:
        return sha256(json.dumps(public, sort_keys=True, default=plain))
    except (TypeError, ValueError):
        return sha256(str(public))


def plain(thing: object) -> object:
    if not hasattr(thing, "__dict__"):
        return str(thing)
    return {k: v for k, v in vars(thing).items() if not k.startswith("_")}


@needs_vectors
def test_gold_calls_answer_and_end_as_recorded(
    conversations: Task, recorded: list[dict[str, Any]]
) -> None:
    """Answers above 400 characters are recorded as hashes of an unknown form; states cover them."""
    items = {s.id: s for s in conversations.items}
    rows = [row for row in recorded if row["type"] == "gt"]
    assert len(rows) >= 330
    seen: Counter[str] = Counter()
    for row in rows:
        sample = items[row["id"]]
        world = World(scene(sample))
        for turn, calls in zip(row["turns"], sample.target["gold"], strict=True):
            found = world.run(calls)
            if "results" in turn:
                seen["answers"] += 1
                assert found == turn["results"], row["id"]
            elif max(map(len, found), default=0) <= 400:
                seen["hashes"] += 1
                assert sha256(json.dumps(found)) == turn["results_sha256"], row["id"]
        states = {name: state_hash(i) for name, i in world.instances.items()}
        assert states == row["state_sha256"], row["id"]
    assert seen["answers"] > 1000
    assert seen["hashes"] > 150


@needs_vectors
def test_every_verdict_of_the_reference_is_reproduced(
    conversations: Task, recorded: list[dict[str, Any]]
) -> None:
    items = {s.id: s for s in conversations.items}
    rows = [row for row in recorded if row["type"] == "verdict"]
    assert len(rows) > 2500
    differing = []
    for row in rows:
        sample = items[row["id"]]
        found = check(scene(sample), row["turns"], sample.target["gold"])
        if (found.valid, found.error) != (row["valid"], row["error_type"]):
            differing.append((row["id"], row["variant"], found.error))
    assert differing == []


@needs_vectors
def test_calls_become_the_reference_s_source_again() -> None:
    rows = [json.loads(x) for x in (VECTORS / "bfcl.jsonl").read_text("utf-8").splitlines()]
    rows = [row for row in rows if "execute_strings" in row or "execute_exception" in row]
    assert len(rows) > 90
    for row in rows:
        try:
            found: object = call_strings(written_calls(row["text"]))
        except NotCalls:
            found = None
        assert found == row.get("execute_strings"), row


def played(task: Task, sample: Sample, said: Callable[[int], Generation]) -> tuple[Score, int]:
    """The score of a conversation in which the model's n-th answer is `said(n)`, and its length."""
    conversation = task.converse(sample)
    request, asked = next(conversation), 0
    while True:
        assert isinstance(request, Generate)
        try:
            request = conversation.send(said(asked))
        except StopIteration as finished:
            return finished.value, asked + 1
        asked += 1


@pytest.mark.parametrize("name", ["bfcl-multi-turn", "bfcl-multi-turn-native"])
def test_the_gold_calls_win_every_conversation_tried(
    conversations: Task, agents: ModuleType, name: str
) -> None:
    task = tasks.get(name)
    for sample in conversations.items[::40]:
        script = agents.answers(sample, name.endswith("native"))
        score, asked = played(task, sample, script.__getitem__)
        assert (score.value, asked) == (1.0, len(script)), (sample.id, score)


def test_a_missing_function_comes_with_its_turn(conversations: Task) -> None:
    sample = next(s for s in conversations.items if s.id == "multi_turn_miss_func_0")
    (turn,) = sample.input["missed"]
    (name,) = sample.input["missed"][turn]
    offered = offer(sample)
    assert name not in {d["name"] for d in offered.first}
    assert [d["name"] for d in offered.later[int(turn)]] == [name]
    conversation = tasks.get("bfcl-multi-turn-native").converse(sample)
    request = next(conversation)
    for _ in range(int(turn)):
        assert name not in {t["function"]["name"] for t in request.tools}  # type: ignore[union-attr]
        request = conversation.send(Generation("I cannot."))
    assert name in {t["function"]["name"] for t in request.tools}  # type: ignore[union-attr]
    conversation.close()


def test_answers_go_back_and_more_than_twenty_steps_end_it(conversations: Task) -> None:
    sample = conversations.items[0]
    prompts: list[Any] = []

    def forever(number: int) -> Generation:
        return Generation("[ls(a=True)]")

    score, asked = played(conversations, sample, forever)
    assert (score.value, score.reason) == (0.0, "multi_turn:force_terminated")
    assert asked == STEPS + 1
    conversation = conversations.converse(sample)
    prompts.append(next(conversation))
    prompts.append(conversation.send(forever(0)))
    assert prompts[1].prompt[-2].content == "[ls(a=True)]"
    (told,) = json.loads(prompts[1].prompt[-1].content)
    assert told["call"] == "ls(a=True)"
    assert "current_directory_content" in told["result"]
    conversation.close()


def test_saying_nothing_loses_and_a_turn_is_over(conversations: Task) -> None:
    sample = conversations.items[0]
    score, asked = played(conversations, sample, lambda n: Generation(""))
    assert score.reason == "multi_turn:empty_turn_model_response"
    assert asked == len(sample.input["turns"])


@pytest.fixture
def simulators(conversations: Task, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulators]:
    monkeypatch.setattr(bfcl_worker, "LIMIT_S", 1.0)
    opened = Simulators()
    yield opened
    opened._stop()


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ("nothing(x=1)", "Error during execution: name 'nothing' is not defined"),
        ("open('/etc/passwd')", "Error during execution: name 'open' is not defined"),
        ("__import__('os')", "Error during execution: name '__import__' is not defined"),
        ("mean.__globals__()", "Error during execution: only calls of the listed functions"),
        ("mean(numbers=[x for x in [1]])", "Error during execution: an argument is no literal"),
        ("power(base=2, exponent=100000)", "Error during execution: Exceeds the limit"),
        ("mean(numbers=y)", "Error during execution: name 'y' is not defined"),
        ("mean(numbers=[1, 2])", '{"result": 1.5}'),
        ("mean(", "Error during execution: '(' was never closed"),
        ("mean(wrong=1)", "Error during execution: MathAPI.mean() got an unexpected keyword"),
        ("_load_scenario(scenario={})", "Error during execution: name '_load_scenario'"),
        ("mean(numbers=" + "[" * 5000, "Error during execution: too many nested"),
        (
            "mean(numbers=" + "mean(numbers=" * 50 + "[1]" + ")" * 51,
            "Error during execution: calls",
        ),
        ("quit()", "Error during execution: Function call quit is not allowed."),
    ],
)
def test_a_call_is_looked_up_and_never_evaluated(
    conversations: Task, call: str, answer: str
) -> None:
    (found,) = World(MATHS).run([call])
    assert found.startswith(answer)


def test_a_simulator_that_hangs_is_stopped_and_the_next_request_is_answered(
    simulators: Simulators,
) -> None:
    began = time.monotonic()
    with pytest.raises(Overrun):
        simulators.play(MATHS, [["power(base=10, exponent=1000000000000)"]])
    assert time.monotonic() - began < 10
    assert simulators.play(MATHS, [["mean(numbers=[1])"]]) == ['{"result": 1.0}']


def test_a_child_that_hangs_ends_although_its_parent_was_killed(conversations: Task) -> None:
    request = {"play": asdict(MATHS), "steps": [["power(base=10, exponent=1000000000000)"]]}
    name = bfcl_worker.__name__
    hasty = f"import {name} as worker; worker.LIMIT_S = 0.5; worker.serve()"
    child = subprocess.Popen(
        [sys.executable, "-c", hasty], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    child.communicate(json.dumps(request).encode() + b"\n", timeout=30)
    assert child.returncode == -signal.SIGALRM


def test_what_was_played_before_counts_after_a_restart(simulators: Simulators) -> None:
    steps = [["mkdir(dir_name='a')"], ["cd(folder='a')"], ["pwd()"]]
    first = simulators.play(MATHS, steps)
    simulators._stop()
    assert simulators.play(MATHS, steps) == first
    assert "/a" in first[0]


def test_a_hanging_call_loses_the_conversation(
    conversations: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bfcl_worker, "LIMIT_S", 1.0)
    sample = next(s for s in conversations.items if "MathAPI" in s.input["classes"])
    score, asked = played(
        conversations, sample, lambda n: Generation("[power(base=10, exponent=1000000000000)]")
    )
    assert (score.value, score.reason, asked) == (0.0, "limit", 1)


DEEP = "[" * 50_000


@pytest.mark.parametrize(
    ("call", "arguments", "seen"),
    [
        ("ls(a=True)", '{"a": true}', "current_directory_content"),
        ("no_such_tool(x=1)", '{"x": 1}', "name 'no_such_tool' is not defined"),
        ("cd(folder=5)", '{"folder": 5}', "Error during execution: "),
        ("cd(folder=[['a']])", '{"folder": [["a"]]}', "Error during execution: "),
        ("cd(other='a')", '{"other": "a"}', "unexpected keyword argument"),
        (f"cd(folder=0x{'f' * 5000})", '{"folder": 1' + "0" * 5000 + "}", None),
        (f"cd(folder={DEEP})", f'{{"folder": {DEEP}}}', None),
        ("cd(folder=", '{"folder": ', None),
        ("I cannot.", "I cannot.", None),
        ("5", "5", None),
    ],
)
@pytest.mark.parametrize("native", [False, True])
def test_a_bad_call_is_answered_or_ends_the_turn_and_never_crashes(
    conversations: Task, call: str, arguments: str, seen: str | None, native: bool
) -> None:
    """What cannot be read as calls ends the turn at once; what can is played and answered."""
    times = 10_000 if call == "ls(a=True)" else 2
    made = tuple(ToolCall(call.partition("(")[0], arguments, f"c{n}") for n in range(times))
    generation = Generation("", calls=made) if native else Generation(", ".join([call] * times))
    task = tasks.get("bfcl-multi-turn-native") if native else conversations
    sample = next(s for s in task.items if s.input["classes"] == ["GorillaFileSystem"])
    conversation = task.converse(sample)
    before, after = next(conversation), conversation.send(generation)
    assert isinstance(before, Generate) and isinstance(after, Generate)
    told = after.prompt[len(before.prompt) + 1 :]
    conversation.close()
    if seen is None:
        assert [m.role for m in told] == ["user"], "the next turn of the user follows"  # type: ignore[union-attr]
    else:
        answers = [m.content for m in told] if native else json.loads(told[0].content)  # type: ignore[union-attr]
        assert len(answers) == times
        assert seen in (answers[-1] if native else answers[-1]["result"])
    if times < 10_000:
        score, _ = played(task, sample, lambda n: generation if n < 1 else Generation(""))
        assert score.value == 0.0


def test_what_no_model_can_be_asked_is_not_told_back(conversations: Task) -> None:
    odd = ToolCall("\ud800", '{"x": "\ud800"}', "\ud800"), ToolCall("cd", '{"folder": "\\ud800"}')
    for name in ("bfcl-multi-turn", "bfcl-multi-turn-native"):
        conversation = tasks.get(name).converse(conversations.items[0])
        next(conversation)
        request = conversation.send(Generation("[cd(folder='\\ud800')] \ud800", calls=odd))
        shown = [message.as_dict() for message in request.prompt]  # type: ignore[union-attr]
        json.dumps(shown, ensure_ascii=False).encode()
        conversation.close()


def test_simulators_that_fail_by_themselves_are_the_instruments_fault(
    simulators: Simulators,
) -> None:
    broken = Scene(("GorillaFileSystem",), {"GorillaFileSystem": {"root": 7}})
    with pytest.raises(InstrumentError, match=r"simulators failed .*; get them again"):
        simulators.play(broken, [["ls(a=True)"]])
    assert simulators.play(MATHS, [["mean(numbers=[1])"]]) == ['{"result": 1.0}']


TEXTS = st.text(alphabet="ls(a=True)[]{}',. \n\"") | st.text()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(TEXTS, min_size=1, max_size=6),
    st.lists(st.tuples(st.sampled_from(["ls", "cd", "x y", ""]), TEXTS), max_size=3),
)
def test_no_answer_breaks_a_conversation(
    conversations: Task, texts: list[str], calls: list[tuple[str, str]]
) -> None:
    sample = conversations.items[0]
    made = tuple(ToolCall(name, arguments) for name, arguments in calls)

    def said(number: int) -> Generation:
        more = number < len(texts)
        return Generation(texts[number] if more else "", calls=made if more else ())

    for name in ("bfcl-multi-turn", "bfcl-multi-turn-native"):
        assert played(tasks.get(name), sample, said)[0].value == 0.0


def test_without_the_package_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(UsageError, match=r"pip install --no-deps bfcl-eval=="):
        need_simulators()
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2024.1.1")
    with pytest.raises(UsageError, match=r"installed is 2024\.1\.1"):
        need_simulators()


def test_v3_holds_all_items_and_has_its_overall_score(conversations: Task) -> None:
    task = tasks.get("bfcl-v3-native")
    assert len(task.items) == task.card.items == 4441
    assert task.multi_turn
    by_category = {s.target["category"]: s for s in task.items}
    single = by_category["irrelevance"]
    score, _ = played(task, single, lambda n: Generation("None fits."))
    assert score.value == 1.0
    scores = {s.id: [Score(1.0, detail={"category": c})] for c, s in by_category.items()}
    assert task.aggregate(scores)["overall_v3"] == 1.0


@pytest.mark.parametrize("name", ["bfcl-multi-turn", "bfcl-multi-turn-native"])
def test_a_run_that_was_killed_in_mid_conversation_ends_in_the_same_bytes(
    conversations: Task, agents: ModuleType, pocket_base: Checkpoint, tmp_path: Path, name: str
) -> None:
    limit = 24
    whole = evaluate(
        pocket_base.path, [name], tmp_path / "whole", backend=agents.Agent(name), limit=limit
    )
    assert whole.results()[name]["metrics"]["correct"]["mean"] == 1.0
    cut = tmp_path / "cut"
    command = [sys.executable, str(AGENTS), str(pocket_base.path), str(cut), name, str(limit)]
    journal, full = cut / "answers.jsonl", (whole.path / "answers.jsonl").stat().st_size
    for part in (0.2, 0.6):
        process = subprocess.Popen([*command, "0.005"])
        while not (journal.exists() and journal.stat().st_size >= part * full):
            assert process.poll() is None, "finished before it was killed"
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert Run.open(cut).status == "partial"
    evaluate(pocket_base.path, [name], cut, backend=agents.Agent(name), limit=limit)
    assert Run.open(cut).status == "complete"
    for file in ("scores.parquet", "results.json"):
        assert (cut / file).read_bytes() == (whole.path / file).read_bytes(), file
    assert entries(journal) == entries(whole.path / "answers.jsonl")


def entries(journal: Path) -> int:
    opened = Journal(journal)
    opened.close()
    return len(opened)
