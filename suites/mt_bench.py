"""MT-Bench: 80 questions of two turns, graded one by one or against another model's answers.

Zheng et al. 2023, arXiv:2306.05685. `mt-bench` asks a judge for a grade from 1 to 10 of each turn, with GPT-4's
reference answers for mathematics, reasoning and coding; a sample scores the mean of both grades over 10. An
answer is decoded at its category's temperature, which no option changes. `mt-bench-pair@NAME` compares both
turns with NAME's answers in both orders; a turn is won where both orders agree, else it is a tie.

Unlike the authors' script: a verdict that is missing, cut or twofold loses the sample (theirs drops the turn,
or takes A before B). Data: questions, references and the judge's prompts in WATERBED_DATA/mt_bench as SOURCES
lays them out; answers of others as model_answer/NAME.jsonl in the authors' form.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..harness import judging
from ..harness.errors import DataError, UsageError
from ..harness.folders import data_file, data_root
from ..harness.jsonl import numbered_jsonl
from ..harness.records import (
    Conversation,
    Generate,
    Generation,
    GenerationSettings,
    Message,
    Request,
    Sample,
    Score,
    clean_text,
)
from ..harness.tasks import Card, Metric, task

_COMMIT = "0e6d3e4beaab66f4d3f93db72541a4abab8af28d"
_SHA256 = {
    "question.jsonl": "119565adbab82227089cefdb44c8d7e2cf04dc0a0ec233634c82e7d4e2a944f7",
    "judge_prompts.jsonl": "fd283293406d024f44c174b094ef48031d0687a4682fd3a56b29b138f80281b6",
    "reference_answer/gpt-4.jsonl": "f957a5bc977badb66885ec970e6cd08527845780313f0995764260e5777b9b3f",
}
_TEMPERATURE = {"writing": 0.7, "roleplay": 0.7, "stem": 0.1, "humanities": 0.1}
#: Categories that the judge is shown a reference for.
_REFERENCED = ("math", "reasoning", "coding")
_JUDGE = GenerationSettings(max_tokens=2048)
_VERDICT = judging.Written(
    {"A": judging.Game(1.0), "B": judging.Game(0.0), "C": judging.Game(0.5)},
    (r"\[\[([ABC])\]\]",),
    settings=_JUDGE,
)
_ANSWER = GenerationSettings(max_tokens=1024)
#: Kinds of prompts by whether a reference is shown, for the first turn and for both.
_SINGLE = {False: ("single-v1", "single-v1-multi-turn"), True: ("single-math-v1", "single-math-v1-multi-turn")}  # fmt: skip
_PAIR = {False: ("pair-v2", "pair-v2-multi-turn"), True: ("pair-math-v1", "pair-math-v1-multi-turn")}  # fmt: skip
Turns = tuple[str, str]


def _official(name: str) -> Path:
    where = f"{name} of lm-sys/FastChat, fastchat/llm_judge/data/mt_bench, @ {_COMMIT}"
    return data_file(f"mt_bench/{name}", _SHA256[name], where)


def prompts(names: Mapping[bool, Sequence[str]]) -> dict[str, judging.JudgePrompt]:
    """The authors' prompts of one way of judging, by name.

    Raises:
        UsageError, DataError: the file is missing, or is another.
    """
    wanted = {name for both in names.values() for name in both}
    rows = (row for _, row in numbered_jsonl(_official("judge_prompts.jsonl")))
    return {
        row["name"]: judging.JudgePrompt(row["prompt_template"], row["system_prompt"])
        for row in rows
        if row["name"] in wanted
    }


def _answers(file: Path) -> dict[str, Turns]:
    """Both turns' answers by question."""
    found = {}
    for place, row in numbered_jsonl(file):
        try:
            first, second = row["choices"][0]["turns"]
            found[str(row["question_id"])] = (str(first), str(second))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise DataError(
                f"{place}: no `choices` with two turns ({error!r}); use MT-Bench's form of answers."
            ) from error
    return found


def _samples(others: Mapping[str, Turns] | None = None) -> Iterator[Sample]:
    references = _answers(_official("reference_answer/gpt-4.jsonl"))
    for place, row in numbered_jsonl(_official("question.jsonl")):
        id, category = str(row["question_id"]), row["category"]
        target: dict[str, Any] = {}
        if category in _REFERENCED:
            target["reference"] = list(references[id])
        if others is not None:
            if id not in others:
                raise DataError(
                    f"{place}: the other model has no answer to {id}; get its file again."
                )
            target["other"] = list(others[id])
        yield Sample(id, list(row["turns"]), target, {"category": category})


def _both_turns(sample: Sample) -> Generator[Request, Any, tuple[Generation, Generation]]:
    """Ask the candidate; the second turn sees its own first answer."""
    chosen = _TEMPERATURE.get(sample.metadata["category"], 0.0)
    settings = GenerationSettings(max_tokens=_ANSWER.max_tokens, temperature=chosen)
    opening = Message("user", sample.input[0])
    first = yield Generate((opening,), settings)
    rest = (Message("assistant", clean_text(first.text)), Message("user", sample.input[1]))
    second = yield Generate((opening, *rest), settings)
    return first, second


def _fields(sample: Sample, turn: int) -> dict[str, str]:
    """What a prompt about a turn shows besides the answers."""
    known: Sequence[str] = sample.target.get("reference", ())
    shown = {f"ref_answer_{n + 1}": known[n] for n in range(turn + 1) if known}
    if turn == 0:
        return {"question": sample.input[0], **shown}
    return {"question_1": sample.input[0], "question_2": sample.input[1], **shown}


class _Judged:
    """What both ways of judging share."""

    NAMES: Mapping[bool, tuple[str, str]]

    def __init__(self) -> None:
        self.prompts = prompts(self.NAMES)
        self._again = judging.asked_again(self.samples())
        self._template = judging.markers(self.prompts.values())

    def samples(self) -> Iterator[Sample]:
        yield from _samples()

    def _asked(self, sample: Sample, turn: int) -> judging.JudgePrompt:
        return self.prompts[self.NAMES["reference" in sample.target][turn]]


def _card(measures: str, verified: str, **more: Any) -> Card:
    return Card(
        measures=measures,
        not_measures="Longer conversations; the published figures under another judge than GPT-4.",
        source="github.com/lm-sys/FastChat, fastchat/llm_judge",
        licence="Apache-2.0",
        revision=_COMMIT,
        items=80,
        verified=verified,
        **more,
    )


_UNVERIFIED = "unverified: no published judgments were seen; prompts and reading are the authors'"


@task(
    "mt-bench",
    domain="chat",
    metrics=(Metric("grade"), Metric("turn_1", gated=False), Metric("turn_2", gated=False)),
    settings=_ANSWER,
    roles=("judge",),
    card=_card(
        "A judge's grades of two-turn answers in eight categories.",
        _UNVERIFIED,
        reference={"gpt-4": 0.899, "gpt-3.5-turbo": 0.794, "vicuna-33b-v1.3": 0.712},
    ),
)
class MTBench(_Judged):
    """Single-answer grading."""

    NAMES = _SINGLE

    def converse(self, sample: Sample) -> Conversation:
        """Two turns, then a grade of each."""
        first, second = yield from _both_turns(sample)
        turns = (first.text, second.text)
        grades: list[float] = []
        for turn in (0, 1):
            found = yield from self._grade(sample, turns, turn)
            if isinstance(found, judging.Lost):
                return found.score
            grades.append(found)
        evidence: dict[str, Any] = {"grades": grades}
        if sample.id in self._again:
            again = yield from self._grade(sample, turns, 0)
            if isinstance(again, judging.Lost):
                return again.score
            evidence["again"] = again
        evidence["looks"] = judging.looks("\n".join(turns), template=self._template)
        each = {"turn_1": grades[0] / 10, "turn_2": grades[1] / 10}
        return Score(sum(grades) / 20, metrics=each, detail={judging.KEY: evidence})

    def _grade(
        self, sample: Sample, turns: Turns, turn: int
    ) -> Generator[Request, Any, float | judging.Lost]:
        own = {"answer": turns[0]} if turn == 0 else {"answer_1": turns[0], "answer_2": turns[1]}
        shown = self._asked(sample, turn).fill(**_fields(sample, turn), **own)
        return (yield from judging.grade(shown, _JUDGE))

    def judging(self) -> Mapping[str, Any]:
        """How the judge is asked."""
        how = {"reading": "written", "labels": "1 to 10", "settings": _JUDGE.as_dict()}
        return judging.about(self.prompts, how)


@task(
    "mt-bench-pair",
    domain="chat",
    metrics=(Metric("win"),),
    settings=_ANSWER,
    roles=("judge",),
    card=_card(
        "How often a judge prefers two-turn answers to another model's, in both orders.",
        _UNVERIFIED,
        chance=0.5,
    ),
)
class MTBenchPair(_Judged):
    """Pairwise comparison with the answers of one other model."""

    NAMES = _PAIR

    def __init__(self, other: str = "") -> None:
        self.other = other
        super().__init__()

    @staticmethod
    def variant(text: str) -> Mapping[str, str]:
        """The model to compare with."""
        return {"other": text}

    def samples(self) -> Iterator[Sample]:
        """The questions with the other model's answers.

        Raises:
            UsageError: no model was named, or its answers are not there.
        """
        folder = (data_root() or Path("WATERBED_DATA")) / "mt_bench" / "model_answer"
        file = folder / f"{self.other}.jsonl"
        if not self.other or self.other != Path(self.other).name or not file.is_file():
            known = ", ".join(sorted(p.stem for p in folder.glob("*.jsonl"))) or "none is there"
            raise UsageError(
                f"mt-bench-pair has no answers of '{self.other}' to compare with ({known}); put them into "
                f"'{folder}' as NAME.jsonl and write mt-bench-pair@NAME."
            )
        yield from _samples(_answers(file))

    def converse(self, sample: Sample) -> Conversation:
        """Two turns, then both orders of each before the judge."""
        first, second = yield from _both_turns(sample)
        mine, theirs = (first.text, second.text), tuple(sample.target["other"])
        duels = []
        for turn in (0, 1):
            orders = (mine, theirs), (theirs, mine)
            shown = [self._shown(sample, turn, *order) for order in orders]
            texts = ("\n".join(mine[: turn + 1]), "\n".join(theirs[: turn + 1]))
            again = turn == 0 and sample.id in self._again
            found = yield from judging.duel(texts, (shown[0], shown[1]), _VERDICT, again=again)
            if isinstance(found, judging.Lost):
                return found.score
            duels.append(found)
        return self._score(duels, "\n".join(mine), "\n".join(theirs))

    def _score(self, duels: Sequence[judging.Duel], mine: str, theirs: str) -> Score:
        """A turn is won where both orders name the same winner."""
        shares = [d.share if d.share in (0.0, 1.0) else 0.5 for d in duels]
        told = [d.as_dict() for d in duels]
        evidence = {**told[0], "later": [t["games"] for t in told[1:]]}
        evidence["looks"] = judging.looks(mine, theirs, self._template)
        detail = {judging.KEY: evidence, "turns": shares}
        return Score(sum(shares) / len(shares), detail=detail)

    def _shown(
        self, sample: Sample, turn: int, first: Sequence[str], second: Sequence[str]
    ) -> tuple[Message, ...]:
        if turn == 0:
            own = {"answer_a": first[0], "answer_b": second[0]}
        else:
            sides = (("a", first), ("b", second))
            own = {f"answer_{s}_{n + 1}": text for s, said in sides for n, text in enumerate(said)}
        return self._asked(sample, turn).fill(**_fields(sample, turn), **own)

    def judging(self) -> Mapping[str, Any]:
        """How the judge is asked."""
        return judging.about(self.prompts, _VERDICT.describe())

    def aggregate(self, scores: Mapping[str, Sequence[Score]]) -> Mapping[str, float]:
        """Shares of turns won, lost and tied."""
        turns = [t for own in scores.values() for s in own for t in s.detail["turns"]]
        sides = (("won", 1.0), ("lost", 0.0), ("tied", 0.5))
        return {name: turns.count(share) / len(turns) for name, share in sides}
