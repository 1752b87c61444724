"""BFCL's memories are carried from session to session, and questions see nothing else of them."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from waterbed.harness.errors import UsageError
from waterbed.harness.records import Generate, Generation, Message, Sample, Score, ToolCall
from waterbed.harness.tasks import Task, tasks
from waterbed.suites import bfcl_worker
from waterbed.suites.bfcl_memory import SCENARIOS, said_one_of
from waterbed.suites.bfcl_simulators import Scene, World, need_memories
from waterbed.suites.bfcl_worker import Overrun, Simulators

NAMES = [f"bfcl-memory-{kind}{how}" for kind in ("kv", "rec-sum") for how in ("", "-native")]
Said = Callable[[Sequence[Message]], Generation]


@pytest.fixture(scope="module")
def memories() -> None:
    for package in ("bfcl_eval", "overrides", "rank_bm25"):
        pytest.importorskip(package, reason="needs bfcl-eval, overrides and rank-bm25")
    try:
        assert tasks.get(NAMES[0]).items
    except UsageError as error:
        pytest.skip(str(error))


def item(name: str, scenario: str = "notetaker") -> tuple[Task, Sample]:
    task = tasks.get(name)
    return task, next(s for s in task.items if s.id == scenario)


def played(name: str, said: Said, limit: int = 5_000) -> tuple[Score, int]:
    """The score of the shortest sample with this model, and how often the model was asked."""
    task, sample = item(name)
    conversation = task.converse(sample)
    request = next(conversation)
    for asked in range(1, limit):
        assert isinstance(request, Generate) and isinstance(request.prompt, tuple)
        try:
            request = conversation.send(said(request.prompt))
        except StopIteration as finished:
            return finished.value, asked
    raise AssertionError("the conversation does not end")


def calling(native: bool, name: str, **given: Any) -> Generation:
    if native:
        return Generation("", calls=(ToolCall(name, json.dumps(given), "c"),))
    return Generation(f"[{name}({', '.join(f'{k}={v!r}' for k, v in given.items())})]")


class Keeper:
    """Writes the answers down, ten a turn; when it is asked, it knows only what its memory tells it."""

    def __init__(self, name: str, pause: int = 11) -> None:
        self.native, self.kv, self.pause = name.endswith("native"), "kv" in name, pause
        _, sample = item(name)
        words = [accepted[0] for accepted in sample.target["answers"].values()]
        self.notes = {f"note_{'abcdefghijklmnopqrstuvwxy'[n]}": w for n, w in enumerate(words)}
        self.turns = self.written = 0
        self.asked = {m[-1]["content"]: n for n, m in enumerate(sample.input["questions"].values())}

    def __call__(self, messages: Sequence[Message]) -> Generation:
        number = self.asked.get(messages[1].content)
        if number is not None:
            return self.answer(messages, list(self.notes)[number])
        self.turns += 1
        if self.written == len(self.notes) or self.turns % self.pause == 0:
            return Generation("Noted.")
        self.written += 1
        return self.write(self.written - 1)

    def write(self, number: int) -> Generation:
        key = list(self.notes)[number]
        if self.kv:
            return calling(
                self.native, "archival_memory_add", key=key, value=f"is {self.notes[key]}!"
            )
        return calling(self.native, "memory_append", text=f"{key} is {self.notes[key]}!\n")

    def answer(self, messages: Sequence[Message], key: str) -> Generation:
        if self.kv:
            if len(messages) == 2:
                return calling(self.native, "archival_memory_retrieve", key=key)
            return Generation(messages[-1].content)
        lines = messages[0].content.splitlines()
        return Generation(next((line for line in lines if line.startswith(f"{key} ")), "Unknown."))


@pytest.mark.usefixtures("memories")
def test_five_users_have_the_official_sessions_and_questions() -> None:
    for name in NAMES:
        task = tasks.get(name)
        assert tuple(s.id for s in task.items) == SCENARIOS
        sizes = [(len(s.input["sessions"]), len(s.target["answers"])) for s in task.items]
        assert sizes == [(10, 30), (7, 25), (5, 25), (5, 25), (10, 50)]


@pytest.mark.usefixtures("memories")
@pytest.mark.parametrize("name", NAMES)
def test_what_was_written_in_a_session_is_there_when_it_is_asked_for(name: str) -> None:
    score, asked = played(name, Keeper(name))
    assert (score.value, score.reason) == (1.0, None), score.detail
    assert len(score.detail["right"]) == score.detail["asked"] == 25
    assert asked > 50


@pytest.mark.usefixtures("memories")
def test_more_than_twenty_steps_in_a_turn_end_the_session_and_what_was_written_stays() -> None:
    """21 of 25 notes are written in the first turn, the others in the first turn of the second session;
    then 19 turns of four sessions and two requests a question."""
    score, asked = played("bfcl-memory-kv", Keeper("bfcl-memory-kv", pause=1_000))
    assert score.value == 1.0
    assert asked == 21 + 4 + 19 + 50


@pytest.mark.usefixtures("memories")
@pytest.mark.parametrize("name", NAMES)
def test_a_model_that_writes_nothing_down_knows_nothing(name: str) -> None:
    keeper = Keeper(name)
    keeper.write = lambda number: Generation("I will remember that.")  # type: ignore[method-assign]
    score, _ = played(name, keeper)
    assert (score.value, score.reason) == (0.0, "wrong")


@pytest.mark.usefixtures("memories")
@pytest.mark.parametrize("name", NAMES)
def test_a_model_that_calls_without_end_or_nonsense_ends_and_knows_nothing(name: str) -> None:
    native = name.endswith("native")
    tool = "core_memory_list_keys" if "kv" in name else "memory_retrieve"
    score, asked = played(name, lambda messages: calling(native, tool))
    assert score.value == 0.0
    assert asked == (5 + 25) * 21
    odd = Generation("[f(x=[[[", calls=(ToolCall("f", "[" * 9_999),) * 3)
    assert played(name, lambda messages: odd)[0].value == 0.0


@pytest.mark.usefixtures("memories")
@pytest.mark.parametrize("name", NAMES)
def test_what_no_model_can_be_told_is_not_told_out_of_a_memory(name: str) -> None:
    tool, given = (
        ("core_memory_add", {"key": "odd", "value": "\ud800"})
        if "kv" in name
        else ("memory_append", {"text": "\ud800"})
    )
    left, shown = [calling(name.endswith("native"), tool, **given)], []

    def said(messages: Sequence[Message]) -> Generation:
        shown.append(messages[0].content.encode())
        return left.pop() if left else Generation("Done.")

    score, _ = played(name, said)
    assert score.value == 0.0
    assert b"ud800" in shown[-1] or "\N{REPLACEMENT CHARACTER}".encode() in shown[-1]


@pytest.mark.usefixtures("memories")
def test_a_memory_that_is_filled_beyond_bounds_loses() -> None:
    left = ["[memory_append(text='a' * 9999)]"] + [
        "[memory_replace(old_text='a', new_text='a' * 9999)]"
    ] * 3

    def said(messages: Sequence[Message]) -> Generation:
        return Generation(left.pop(0) if left else "Done.")

    score, _ = played("bfcl-memory-rec-sum", said)
    assert (score.value, score.reason) == (0.0, "limit")


@pytest.mark.usefixtures("memories")
def test_a_search_finds_keys_by_their_words_and_leaves_no_folders_behind() -> None:
    from pathlib import Path

    import bfcl_eval

    kept = {"core_memory": {"pet_name": "Rex", "home_town": "Ulm"}, "archival_memory": {}}
    world = World(Scene(("MemoryAPI_kv",), {"MemoryAPI_kv": kept}))
    (found,) = world.run(["core_memory_key_search(query='home', k=1)"])
    assert json.loads(found)["ranked_results"][0][1] == "home_town"
    assert world.memory().kept == kept
    assert '"pet_name": "Rex"' in world.memory().shown
    beside = Path(str(bfcl_eval.__file__)).parent.parent
    assert not any((beside / name).exists() for name in (".file_locks", "result", "score"))


@pytest.mark.usefixtures("memories")
def test_the_child_tells_what_a_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    simulators = Simulators()
    scene = Scene(("MemoryAPI_rec_sum",), {"MemoryAPI_rec_sum": {"memory": "x"}})
    steps = [["memory_append(text='y')"], ["memory_retrieve()"]]
    assert simulators.play(scene, steps) == ['{"memory_content": "xy"}']
    assert simulators.memory(scene, steps).kept == {"memory": "xy"}
    assert simulators.memory(scene, steps).shown == "xy"
    simulators._stop()
    assert simulators.memory(scene, steps).kept == {"memory": "xy"}, "played again"
    monkeypatch.setattr(bfcl_worker, "LIMIT_S", 0.0)
    with pytest.raises(Overrun):
        simulators.memory(scene, steps)


@pytest.mark.parametrize(
    ("text", "accepted", "right"),
    [
        ("{'answer': 'Seattle', 'context': 'you said so'}", ["Seattle"], True),
        ("It is 35.", ["35", "thirty five"], True),
        ("It is 351.", ["35"], False),
        ("thirty-five", ["thirty five"], False),
        ("April 1, 2024", ["April 1 2024"], True),
        ("I do not know", ["Seattle"], False),
        ("", ["x"], False),
        ("x" * 1_000_000, ["y"], False),
    ],
)
def test_an_answer_counts_where_it_stands_as_whole_words(
    text: str, accepted: list[str], right: bool
) -> None:
    assert said_one_of(text, accepted) is right


def test_every_question_weighs_the_same_and_a_part_has_no_figure() -> None:
    body = tasks.get("bfcl-memory-kv").body
    scores = {name: [Score(0.0, "wrong", detail={"asked": 25, "right": []})] for name in SCENARIOS}
    scores["student"] = [Score(1.0, detail={"asked": 50, "right": ["q"] * 50})]
    assert body.aggregate(scores) == {"category/memory_kv": pytest.approx(50 / 150)}
    scores.pop("customer")
    assert body.aggregate(scores) == {}


def test_without_the_packages_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("bfcl_eval", reason="needs bfcl-eval, installed with --no-deps")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="need overrides and rank_bm25; run `pip install"):
        need_memories()
