"""BFCL V4, multi-turn: a user asks in several turns, and the model works on simulated APIs.

Four categories of 200 conversations (Patil et al., 2025): base; one in which a function is missing until
a later turn; one in which a value is missing until the user is asked; and one whose APIs answer at
length. Within a turn the model goes on calling until it answers without a call; more than `STEPS` steps
in a turn end the conversation as failed. What counts is the APIs' state and answers after each turn.

`bfcl-multi-turn` asks in prompting mode, with this project's wording, `bfcl-multi-turn-native` through
the chat API's tools. `bfcl-v3` and `bfcl-v3-native` hold all of V3's items, single turn and multi-turn,
for its overall score. Needs bfcl-eval. Not here: the APIs (bfcl_simulators.py), who may call them
(bfcl_worker.py), single turn (bfcl.py).
"""

from __future__ import annotations

import functools
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from ..harness.records import (
    Conversation,
    Generate,
    Generation,
    Message,
    Request,
    Sample,
    Score,
    clean_text,
)
from ..harness.tasks import Metric, task, tasks
from .bfcl import CATEGORIES, SETTINGS, accuracy, card
from .bfcl_decode import NotCalls, call_strings, need_parsers, written_calls
from .bfcl_figures import MULTI_TURN
from .bfcl_files import accepted_answers, api_documents, questions
from .bfcl_functions import hinted, tools
from .bfcl_prompts import MORE_FUNCTIONS, more_functions, own_system, results_of, with_system
from .bfcl_simulators import MODULES, Scene, need_simulators
from .bfcl_worker import Overrun, Simulators
from .function_calls import clean_call, native_calls

#: Most steps of a turn that may be followed by another.
STEPS = 20
#: Conversations of each category.
EACH = 200


def samples() -> Iterator[Sample]:
    """Every conversation; its id is the official one, and the four made from one scenario are a cluster.

    Raises:
        UsageError: a file or the package bfcl-eval is missing.
        DataError: a file is another one.
    """
    need_simulators()
    for category in MULTI_TURN:
        gold = accepted_answers(category)
        for row in questions(category):
            shown = {
                "turns": row["question"],
                "classes": row["involved_classes"],
                "config": row["initial_config"],
                "missed": row.get("missed_function", {}),
            }
            target = {"category": category, "gold": gold[row["id"]]}
            scenario = row["id"].rpartition("_")[2]
            yield Sample(row["id"], shown, target, cluster=f"scenario {scenario}")


@functools.cache
def documents(name: str) -> tuple[Mapping[str, Any], ...]:
    """The functions of a simulated API, with hints."""
    return tuple(hinted(document, "python") for document in api_documents(MODULES[name]))


@dataclass(frozen=True, slots=True)
class Offer:
    """The functions of a conversation: those there from the start, and those that a turn brings."""

    first: tuple[Mapping[str, Any], ...]
    later: Mapping[int, tuple[Mapping[str, Any], ...]]


def offer(sample: Sample) -> Offer:
    """What a conversation offers."""
    every = [document for name in sample.input["classes"] for document in documents(name)]
    missed = {int(turn): tuple(names) for turn, names in sample.input["missed"].items()}
    later = {turn: tuple(d for d in every if d["name"] in names) for turn, names in missed.items()}
    withheld = {name for names in missed.values() for name in names}
    return Offer(tuple(d for d in every if d["name"] not in withheld), later)


@dataclass(slots=True)
class Written:
    """Prompting mode: functions in the system message, calls and their answers as text."""

    functions: tuple[Mapping[str, Any], ...]
    messages: list[Message] = field(default_factory=list)

    def begin(self, turn: Sequence[Mapping[str, str]], more: Sequence[Mapping[str, Any]]) -> None:
        """Add a turn of the user, or the functions that it brings."""
        if not self.messages:
            self.messages.extend(with_system(own_system(self.functions), turn))
        elif more:
            self.messages.append(Message("user", more_functions(more)))
        else:
            self.messages.extend(Message(m["role"], m["content"]) for m in turn)

    def request(self) -> Generate:
        """What to ask now."""
        return Generate(tuple(self.messages))

    def read(self, generation: Generation) -> list[str] | None:
        """The calls of an answer as source; None where it is no list of calls."""
        try:
            return call_strings(written_calls(generation.text))
        except NotCalls:
            return None

    def heard(self, generation: Generation, calls: Sequence[str], answers: Sequence[str]) -> None:
        """Add an answer, and what its calls answered."""
        self.messages.append(Message("assistant", clean_text(generation.text)))
        if calls:
            self.messages.append(Message("user", results_of(calls, answers)))


@dataclass(slots=True)
class Native:
    """Native mode, as `Written`: functions as tools, calls as the backend read them."""

    functions: tuple[Mapping[str, Any], ...]
    messages: list[Message] = field(default_factory=list)

    def begin(self, turn: Sequence[Mapping[str, str]], more: Sequence[Mapping[str, Any]]) -> None:
        self.functions += tuple(more)
        asked = [{"role": "user", "content": MORE_FUNCTIONS}] if more else turn
        self.messages.extend(Message(m["role"], m["content"]) for m in asked)

    def request(self) -> Generate:
        return Generate(tuple(self.messages), tools=tools(self.functions))

    def read(self, generation: Generation) -> list[str] | None:
        calls = native_calls(generation.calls)
        if calls is None:
            return None
        try:
            return [
                f"{name}({','.join(f'{key}={value!r}' for key, value in arguments.items())})"
                for call in calls
                for name, arguments in call.items()
            ]
        except RecursionError:
            return None

    def heard(self, generation: Generation, calls: Sequence[str], answers: Sequence[str]) -> None:
        # Calls that were not played have no answers, and APIs refuse such a history.
        made = tuple(map(clean_call, generation.calls)) if calls else ()
        self.messages.append(Message("assistant", clean_text(generation.text), made))
        self.messages.extend(
            Message("tool", clean_text(answer), call_id=call.id)
            for call, answer in zip(made, answers, strict=True)
        )


def take_turn(
    talk: Written | Native, simulators: Simulators, scene: Scene, steps: list[list[str]]
) -> Generator[Request, Any, Generation | None]:
    """Let the model call until it answers without a call; None after more than STEPS steps.

    Args:
        steps: what was played in the scene before; every step of the turn is added.

    Raises:
        Overrun: the simulators hit a limit.
    """
    for _ in range(STEPS + 1):
        generation: Generation = yield talk.request()
        calls = talk.read(generation)
        if not calls:
            talk.heard(generation, (), ())
            return generation
        steps.append(calls)
        talk.heard(generation, calls, simulators.play(scene, steps))
    return None


class _Conversations:
    """What both ways to ask have in common."""

    talk: ClassVar[type[Written] | type[Native]]

    def __init__(self) -> None:
        self.simulators = Simulators()

    def samples(self) -> Iterator[Sample]:
        yield from samples()

    def converse(self, sample: Sample) -> Conversation:
        offered, steps, turns = offer(sample), list[list[str]](), list[list[list[str]]]()
        scene = Scene(
            tuple(sample.input["classes"]),
            sample.input["config"],
            sample.target["category"] == "multi_turn_long_context",
        )
        talk = self.talk(offered.first)
        for number, turn in enumerate(sample.input["turns"]):
            talk.begin(turn, offered.later.get(number, ()))
            before = len(steps)
            try:
                said = yield from take_turn(talk, self.simulators, scene, steps)
            except Overrun as error:
                return _failed("limit", sample, [*turns, steps[before:]], str(error))
            turns.append(steps[before:])
            if said is None:
                return _failed("multi_turn:force_terminated", sample, turns)
        return self._judged(scene, sample, turns)

    def _judged(self, scene: Scene, sample: Sample, turns: list[list[list[str]]]) -> Score:
        try:
            finding = self.simulators.check(scene, turns, sample.target["gold"])
        except Overrun as error:
            return _failed("limit", sample, turns, str(error))
        if finding.error:
            return _failed(finding.error, sample, turns)
        return Score(1.0, detail=_detail(sample, turns))

    def aggregate(self, scores: Mapping[str, Sequence[Score]]) -> Mapping[str, float]:
        return accuracy(scores)


def _failed(
    reason: str, sample: Sample, turns: Sequence[Sequence[Sequence[str]]], said: str = ""
) -> Score:
    """A conversation lost by the model."""
    return Score(0.0, reason, detail={**_detail(sample, turns), "error": said or reason})


def _detail(sample: Sample, turns: Sequence[Sequence[Sequence[str]]]) -> dict[str, Any]:
    """Evidence of bounded size: how many steps each turn took."""
    steps = [len(own) for own in turns]
    return {"category": sample.target["category"], "error": None, "steps": steps}


_CARD = replace(
    card("", "against 330 gold conversations and 2,566 verdicts of bfcl_eval @ 6ea57973"),
    measures="Working on simulated APIs over several turns, by their state and answers.",
    not_measures=(
        "Whether needless calls were made, or calls in a turn that should have none; published figures "
        "have other wording"
    ),
    items=len(MULTI_TURN) * EACH,
)


@task(
    "bfcl-multi-turn", domain="tools", metrics=(Metric("correct"),), settings=SETTINGS, card=_CARD
)
class BFCLMultiTurn(_Conversations):
    """BFCL's multi-turn categories in prompting mode."""

    talk = Written


@task(
    "bfcl-multi-turn-native",
    domain="tools",
    metrics=(Metric("correct"),),
    settings=SETTINGS,
    card=_CARD,
)
class BFCLMultiTurnNative(_Conversations):
    """BFCL's multi-turn categories with tools of the chat API."""

    talk = Native


class _V3:
    """All items of V3, each asked and scored by its own task."""

    single: ClassVar[str]
    several: ClassVar[str]

    def samples(self) -> Iterator[Sample]:
        if self.single == "bfcl":
            need_parsers()
        yield from tasks.get(self.single).items
        yield from tasks.get(self.several).items

    def converse(self, sample: Sample) -> Conversation:
        own = self.single if sample.target["category"] in CATEGORIES else self.several
        return tasks.get(own).converse(sample)

    def aggregate(self, scores: Mapping[str, Sequence[Score]]) -> Mapping[str, float]:
        return accuracy(scores)


_V3_CARD = replace(
    _CARD,
    measures="All single-turn and multi-turn categories of V3, for its overall score.",
    items=sum(CATEGORIES.values()) + len(MULTI_TURN) * EACH,
)


@task("bfcl-v3", domain="tools", metrics=(Metric("correct"),), settings=SETTINGS, card=_V3_CARD)
class BFCLV3(_V3):
    """BFCL V3 in prompting mode."""

    single, several = "bfcl", "bfcl-multi-turn"


@task(
    "bfcl-v3-native", domain="tools", metrics=(Metric("correct"),), settings=SETTINGS, card=_V3_CARD
)
class BFCLV3Native(_V3):
    """BFCL V3 with tools of the chat API."""

    single, several = "bfcl-native", "bfcl-multi-turn-native"
