"""How two answers, or one, are put to a judge, whatever backend plays the role `judge`.

A judge writes a verdict that is read strictly (`Written`), or says how likely each letter is (`Chosen`,
by log-probabilities). Two answers are always asked about in both orders. What the judge said goes into the
score's detail under `judge`, from which judge_report.py measures the judge itself. A verdict that is cut,
missing or twofold leaves the sample unscored under a name of its own; it is never a 0. Prompts of official
benchmarks are read as data. Not here: which judge is good enough (judge_reliability.py).
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from .errors import DataError, UsageError
from .judge_guard import signs, sketch
from .records import (
    Choose,
    Conversation,
    Generate,
    GenerationSettings,
    Message,
    Prompt,
    Request,
    Sample,
    Score,
    clean_text,
    content_hash,
)
from .statistics.style_control import difference, style

#: Where a judged task's evidence lies in a score's detail.
KEY = "judge"
#: Samples whose first question to the judge is asked once more.
REPEATED = 50
#: A judge that explains itself before its verdict.
_LONG = GenerationSettings(max_tokens=2048)
_PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class JudgePrompt:
    """What a judge is asked, with places like {question} to fill."""

    text: str
    """The user's turn."""
    system: str = ""

    def fill(self, **fields: str) -> tuple[Message, ...]:
        """The turns; what is filled in is cleaned of lone surrogates and never searched for places again.

        Raises:
            DataError: the text has other places than `fields`.
        """
        places = set(_PLACE.findall(self.text))
        if places != set(fields):
            raise DataError(
                f"A judge's prompt has the places {sorted(places)} and is given {sorted(fields)}; get the "
                "official file again."
            )
        asked = Message("user", _PLACE.sub(lambda place: clean_text(fields[place[1]]), self.text))
        return (Message("system", self.system), asked) if self.system else (asked,)

    @property
    def hash(self) -> str:
        """Of the text before anything is filled in (16 hex digits)."""
        return content_hash([self.system, self.text])


@dataclass(frozen=True, slots=True)
class Game:
    """One verdict on two answers in one order."""

    share: float
    """In [0, 1]: how much of the vote the answer shown first gets; 1/2 is a tie."""
    weight: int = 1
    """How many games it counts for."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A verdict that the judge failed to give."""

    reason: Literal["judge_truncated", "judge_unparsed", "judge_ambiguous"]
    said: str

    @property
    def score(self) -> Score:
        """The sample, unscored by the judge's fault."""
        return Score.unscored(self.reason, said=self.said[-200:])


class Reading(Protocol):
    """How a verdict on two answers is got from a judge."""

    def ask(self, prompt: Prompt) -> Generator[Request, Any, Game | Lost]: ...
    def describe(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Written:
    """A verdict that the judge writes: a label as the first of `patterns` that is found brings it."""

    labels: Mapping[str, Game]
    patterns: tuple[str, ...]
    take: Literal["only", "last"] = "only"
    """Where several labels are found: `only` loses the verdict unless they agree."""
    settings: GenerationSettings = _LONG

    def ask(self, prompt: Prompt) -> Generator[Request, Any, Game | Lost]:
        """Ask and read."""
        answer = yield Generate(prompt, self.settings, "judge")
        found = Lost("judge_truncated", answer.text) if answer.truncated else self.read(answer.text)
        return found

    def read(self, text: str) -> Game | Lost:
        """The verdict in a judge's text."""
        for pattern in self.patterns:
            found = [label for label in re.findall(pattern, text) if label in self.labels]
            if found and self.take == "only" and len(set(found)) > 1:
                return Lost("judge_ambiguous", text)
            if found:
                return self.labels[found[-1]]
        return Lost("judge_unparsed", text)

    def describe(self) -> Mapping[str, Any]:
        """For run.json."""
        how = {"labels": sorted(self.labels), "patterns": list(self.patterns), "take": self.take}
        return {"reading": "written", **how, "settings": self.settings.as_dict()}


@dataclass(frozen=True, slots=True)
class Chosen:
    """The judge's log-probabilities of two labels, the first of which stands for the answer shown first."""

    labels: tuple[str, str]

    def ask(self, prompt: Prompt) -> Generator[Request, Any, Game | Lost]:
        """Ask and compare; labels of unequal length would not be comparable."""
        choice = yield Choose(prompt, self.labels, "judge")
        first, second = choice.logprobs
        if not (math.isfinite(first) or math.isfinite(second)):
            return Lost("judge_unparsed", f"neither of {self.labels} has a probability")
        return Game(1 / (1 + math.exp(min(700.0, second - first))))

    def describe(self) -> Mapping[str, Any]:
        """For run.json."""
        return {"reading": "log-probabilities", "labels": list(self.labels)}


@dataclass(frozen=True, slots=True)
class Duel:
    """Both games about one pair of answers."""

    games: tuple[Game, ...]
    """The candidate's answer shown first, then second; empty where both answers are the same text."""
    again: Game | None = None
    """The first game asked once more."""

    @property
    def share(self) -> float:
        """The candidate's share of the vote in [0, 1], over both orders; equal answers are a tie."""
        if not self.games:
            return 0.5
        first, second = self.games
        won = first.weight * first.share + second.weight * (1 - second.share)
        return won / (first.weight + second.weight)

    def as_dict(self) -> dict[str, Any]:
        """For a score's detail."""
        shown: dict[str, Any] = {"games": [[g.share, g.weight] for g in self.games]}
        if self.again:
            shown["again"] = self.again.share
        return shown


Asking: TypeAlias = "Generator[Request, Any, Duel | Lost]"


def duel(
    answers: tuple[str, str], prompts: tuple[Prompt, Prompt], reading: Reading, *, again: bool
) -> Asking:
    """Ask about the candidate's answer and another one in both orders.

    Args:
        answers: as they are shown; equal ones are a tie that nobody is asked about.
        prompts: with the candidate's answer first, and with it second.
        again: ask the first prompt once more, to see whether the judge repeats itself.
    """
    if answers[0].strip() == answers[1].strip():
        return Duel(())
    games = []
    for prompt in (*prompts, *([prompts[0]] if again else [])):
        game = yield from reading.ask(prompt)
        if isinstance(game, Lost):
            return game
        games.append(game)
    return Duel(tuple(games[:2]), games[2] if again else None)


#: A judge's grade from 1 to 10, as MT-Bench asks for it; the second form where the first is missing.
_GRADES = (r"\[\[(\d+\.?\d*)\]\]", r"\[(\d+\.?\d*)\]")


def grade(prompt: Prompt, settings: GenerationSettings) -> Generator[Request, Any, float | Lost]:
    """Ask for a grade from 1 to 10 of one answer; the first that is found counts."""
    answer = yield Generate(prompt, settings, "judge")
    if answer.truncated:
        return Lost("judge_truncated", answer.text)
    found = next((m for p in _GRADES if (m := re.search(p, answer.text))), None)
    if found is None or not 1 <= float(found[1]) <= 10:
        return Lost("judge_unparsed", answer.text)
    return float(found[1])


def asked_again(samples: Iterable[Sample]) -> frozenset[str]:
    """Ids of REPEATED samples, the same ones always."""
    return frozenset(sorted((s.id for s in samples), key=content_hash)[:REPEATED])


def way(task: str, text: str, known: Iterable[str]) -> Mapping[str, str]:
    """The argument of a task that a user writes as `task@text`, where it names how the judge is read.

    Raises:
        UsageError: another word.
    """
    if text not in known:
        listed = " or ".join(f"{task}@{name}" for name in known)
        raise UsageError(f"'{task}@{text}' is not known; write {listed}.")
    return {"reading": text}


def about(prompts: Mapping[str, JudgePrompt], how: Mapping[str, Any]) -> dict[str, Any]:
    """What a judged task says in run.json of how it asks: prompt hashes and the reading."""
    return {"prompts": {name: p.hash for name, p in sorted(prompts.items())}, **how}


@functools.cache
def _markers_of(prompt: JudgePrompt) -> frozenset[str]:
    lines = (*prompt.system.splitlines(), *prompt.text.splitlines())
    pieces = (piece.strip() for line in lines for piece in _PLACE.split(line))
    return frozenset(piece for piece in pieces if len(piece) >= _TELLING)


def markers(prompts: Iterable[JudgePrompt]) -> frozenset[str]:
    """Lines of judges' prompts that no honest answer carries."""
    return frozenset().union(*map(_markers_of, prompts))


#: A shorter line may stand in any answer.
_TELLING = 24


def looks(answer: str, other: str | None = None, template: Iterable[str] = ()) -> dict[str, Any]:
    """What an answer looks like, for a score's detail.

    Args:
        answer: the candidate's; of several turns, all of them.
        other: what it was compared with.
        template: lines of the judge's prompts (see `markers`).
    """
    empty = not answer.strip()
    own = style(answer)
    seen: dict[str, Any] = {
        "sketch": [] if empty else sketch(answer),
        "signs": signs(answer, template),
        "own": [0.0] * len(own) if empty else list(own),
    }
    if other is not None:
        seen["style"] = [round(d, 6) for d in difference(own, style(other))]
    return seen


@dataclass(frozen=True, slots=True)
class Contest:
    """Comparing single answers by one prompt."""

    prompt: JudgePrompt
    names: tuple[str, str]
    """The prompt's places of the answers shown first and second."""
    reading: Reading
    again: frozenset[str] = frozenset()
    """Ids of the samples whose first question is asked once more."""

    def score(
        self,
        sample: Sample,
        answers: tuple[str, str],
        fields: Mapping[str, str],
        *,
        label: float | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> Conversation:
        """The candidate's share of the vote; an empty answer loses unasked.

        Args:
            answers: the candidate's and the other one.
            fields: what else the prompt shows.
            label: the candidate's share by somebody who is no judge, to measure the judge against.
            detail: further evidence.
        """
        if not answers[0].strip():
            seen = {KEY: {"games": [], "looks": looks("")}}
            return Score(0.0, "empty", detail={**seen, **(detail or {})})
        orders: Sequence[tuple[str, str]] = (answers, (answers[1], answers[0]))
        first, second = (
            self.prompt.fill(**fields, **dict(zip(self.names, order, strict=True)))
            for order in orders
        )
        # Log-probabilities repeat themselves by construction (judge_reliability.py).
        again = sample.id in self.again and not isinstance(self.reading, Chosen)
        found = yield from duel(answers, (first, second), self.reading, again=again)
        if isinstance(found, Lost):
            return found.score
        evidence = {**found.as_dict(), "looks": looks(*answers, markers([self.prompt]))}
        if label is not None:
            evidence["label"] = label
        return Score(found.share, detail={KEY: evidence, **(detail or {})})
