"""BFCL V4, memory: what a model keeps of earlier conversations, and whether it finds it again.

A user of one of five kinds talks to the model in 5 to 10 sessions; the model may write into a memory,
which is all that it has of them later, and is then asked 25 to 50 questions, each in a conversation of
its own (Patil et al. 2025; V4). `bfcl-memory-kv` has a store of keys and values with a search by words,
`bfcl-memory-rec-sum` one text; `-native` asks through the chat API's tools. An answer is right if an
accepted one stands in its last message without a call, as whole words.

A sample is a kind of user with all its sessions and questions, since the questions depend on everything
before: five samples, so a gate can say little of them. `category/memory_kv` weighs every question the
same, as BFCL does. The simulators and the instructions are the official ones, from the package bfcl-eval;
functions and calls are told in this project's words.

Not here: the memory of vectors, which needs a model of sentence embeddings, and so the mean of all three.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from ..harness.records import Conversation, Generation, Request, Sample, Score, clean_text
from ..harness.tasks import Metric, task
from .bfcl import SETTINGS, card
from .bfcl_files import accepted_answers, memory_sessions, questions
from .bfcl_multi_turn import Native, Written, documents, take_turn
from .bfcl_prompts import answer_format, memory_instruction
from .bfcl_simulators import Memory, Scene, need_memories
from .bfcl_worker import Overrun, Simulators

SCENARIOS = ("customer", "finance", "healthcare", "notetaker", "student")
_IGNORED = re.compile(r"[,./\-_*^()]")
Turn = Sequence[Mapping[str, str]]


def said_one_of(text: str, accepted: Sequence[str]) -> bool:
    """Whether an accepted answer stands in a text as whole words, without case and light punctuation."""
    folded = _folded(text)
    return any(re.search(rf"\b{re.escape(_folded(answer))}\b", folded) for answer in accepted)


def _folded(text: str) -> str:
    return _IGNORED.sub("", text).lower().replace("'", '"')


class _Memories:
    """One kind of memory, asked in one way."""

    talk: ClassVar[type[Written] | type[Native]]
    kind: ClassVar[str]

    def __init__(self) -> None:
        self.simulators = Simulators()

    def samples(self) -> Iterator[Sample]:
        """One sample a kind of user.

        Raises:
            UsageError: a file or a package is missing.
            DataError: a file is another one.
        """
        need_memories()
        answers, rows = accepted_answers("memory"), questions("memory")
        for scenario in SCENARIOS:
            own = [row for row in rows if row["scenario"] == scenario]
            shown = {
                "sessions": [row["question"] for row in memory_sessions(scenario)],
                "questions": {row["id"]: row["question"][0] for row in own},
            }
            target = {row["id"]: answers[row["id"]] for row in own}
            yield Sample(scenario, shown, {"category": f"memory_{self.kind}", "answers": target})

    def converse(self, sample: Sample) -> Conversation:
        memory = Memory({}, self.simulators.memory(self._scene({}), []).shown)
        try:
            for session in sample.input["sessions"]:
                memory = yield from self._session(sample.id, memory, session)
        except Overrun as error:
            return Score(0.0, "limit", detail={**_detail(sample, []), "error": str(error)})
        right = []
        for id, asked in sample.input["questions"].items():
            said = yield from self._question(sample.id, memory, asked)
            if said is not None and said_one_of(said.text, sample.target["answers"][id]):
                right.append(id)
        value = len(right) / len(sample.target["answers"])
        return Score(value, None if value == 1.0 else "wrong", detail=_detail(sample, right))

    def _scene(self, kept: Mapping[str, Any]) -> Scene:
        name = f"MemoryAPI_{self.kind}"
        return Scene((name,), {name: kept})

    def _begin(self, scenario: str, memory: Memory, turn: Turn, more: str) -> Written | Native:
        """A new conversation, in which the model sees what its memory shows."""
        told = memory_instruction(self.kind == "rec_sum", scenario, clean_text(memory.shown))
        talk = self.talk(documents(f"MemoryAPI_{self.kind}"))
        talk.begin([{"role": "system", "content": told + more}, *turn], ())
        return talk

    def _session(
        self, scenario: str, memory: Memory, turns: Sequence[Turn]
    ) -> Generator[Request, Any, Memory]:
        """The memory after a session; too many steps in a turn end it, as in the reference."""
        scene, steps = self._scene(memory.kept), list[list[str]]()
        talk = self._begin(scenario, memory, turns[0], "")
        for number, turn in enumerate(turns):
            if number:
                talk.begin(turn, ())
            if (yield from take_turn(talk, self.simulators, scene, steps)) is None:
                break
        return self.simulators.memory(scene, steps)

    def _question(
        self, scenario: str, memory: Memory, asked: Turn
    ) -> Generator[Request, Any, Generation | None]:
        """The answer to a question; None where there is none."""
        talk = self._begin(scenario, memory, asked, f"\n\n{answer_format()}")
        try:
            return (yield from take_turn(talk, self.simulators, self._scene(memory.kept), []))
        except Overrun:
            return None

    def aggregate(self, scores: Mapping[str, Sequence[Score]]) -> Mapping[str, float]:
        """BFCL's accuracy over all questions, once every kind of user was there."""
        if set(scores) != set(SCENARIOS):
            return {}
        own = [score for several in scores.values() for score in several]
        asked = sum(score.detail["asked"] for score in own)
        return {
            f"category/memory_{self.kind}": sum(len(s.detail["right"]) for s in own) / asked,
        }


def _detail(sample: Sample, right: Sequence[str]) -> dict[str, Any]:
    """Evidence: how many questions there were, and which were answered rightly."""
    asked = len(sample.target["answers"])
    return {"category": sample.target["category"], "asked": asked, "right": list(right)}


_CARD = replace(
    card("", "unverified: no recorded conversations of another model; the official simulators"),
    measures="What a model keeps of 5 to 10 sessions in a memory, by 155 questions in 5 samples.",
    not_measures=(
        "A memory of vectors, which needs sentence embeddings, and so BFCL's mean of three memories; "
        "five samples decide little at a gate"
    ),
    items=len(SCENARIOS),
)


def _memory(name: str, about: str) -> Any:
    return task(
        name,
        domain="tools",
        metrics=(Metric("right", gated=False),),
        settings=SETTINGS,
        card=replace(_CARD, measures=f"{_CARD.measures[:-1]}: {about}."),
    )


@_memory("bfcl-memory-kv", "keys and values")
class BFCLMemoryKV(_Memories):
    """A memory of keys and values, in prompting mode."""

    talk, kind = Written, "kv"


@_memory("bfcl-memory-kv-native", "keys and values, tools of the chat API")
class BFCLMemoryKVNative(_Memories):
    """A memory of keys and values, through the chat API's tools."""

    talk, kind = Native, "kv"


@_memory("bfcl-memory-rec-sum", "one text")
class BFCLMemoryRecSum(_Memories):
    """A memory of one text, in prompting mode."""

    talk, kind = Written, "rec_sum"


@_memory("bfcl-memory-rec-sum-native", "one text, tools of the chat API")
class BFCLMemoryRecSumNative(_Memories):
    """A memory of one text, through the chat API's tools."""

    talk, kind = Native, "rec_sum"
