"""Arena-Hard v0.1 and v2.0: a judge between the model's answer and a strong model's, in two games.

Li et al. 2024, arXiv:2406.11939. The judge writes one of five verdicts after its own answer; the last one
counts, and "significantly better" counts as three games. A sample scores its share of both games; over all,
the win rate of a Bradley-Terry fit against the baseline stands beside, with a bootstrap by prompt (the
authors draw battles), and the share at equal style. v2.0's two kinds of prompt have other baselines and
prompts of the judge, so they are two tasks. The authors sample answers at the model's own settings; here they
are greedy.

Data: questions, the baseline's answers, the judge's settings, in WATERBED_DATA/arena_hard as SOURCES lays them
out. The creative baseline's answers have not been seen and are read as they lie there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import yaml

from ..harness import judging
from ..harness.errors import DataError, UsageError
from ..harness.folders import data_file, data_root
from ..harness.jsonl import numbered_jsonl
from ..harness.records import (
    Conversation,
    Generation,
    GenerationSettings,
    Prompt,
    Sample,
    Score,
    user,
)
from ..harness.statistics.bradley_terry import Vote, strengths
from ..harness.tasks import Card, Metric, task

_COMMIT = "196f6b826783b3da7310e361a805fa36f0be83f3"
_SHA256 = {
    "arena-hard-v0.1/question.jsonl": "2650242d2883f22b2abd498f273b6a7e02253cce533f5c91a858e1d44aa3002f",
    "arena-hard-v0.1/model_answer/gpt-4-0314.jsonl": "0f6abc84de4600fde987d9db70f838f4ecdbd27a2f1f4058c12aa322a6f791b2",
    "arena-hard-v0.1.yaml": "87ac45a188421218349697b5eda95cc77f6e60b6f61495d67d8cfebba3210528",
    "arena-hard-v2.0/question.jsonl": "a75cef6623db6b27aec810497b059f0659705d7ff48dcbccc5bd5b130728ac73",
    "arena-hard-v2.0/model_answer/o3-mini-2025-01-31.jsonl": "c23a7c255eead99f7f86ad48aa1d8ccdb5b3334f2097e0e1e09184df87265e03",
    "arena-hard-v2.0.yaml": "ee68e5c6ac98a79720bf11014fc3f7fc3c3e5899153b3b08efe3db0e174215a0",
    "judge_settings.json": "b66f754e88b34cfae0bfa226b19a2f3d19252879393947525effc26d2795d8b2",
}
_NAMES = ("ANSWER_A", "ANSWER_B")
_MUCH = 3
_FIRST = {"A>B": 1.0, "B<A": 1.0, "A=B": 0.5, "B=A": 0.5, "B>A": 0.0, "A<B": 0.0}
_VERY = {"A>>B": 1.0, "B<<A": 1.0, "B>>A": 0.0, "A<<B": 0.0}
#: Every way to write the five verdicts, in either case.
LABELS: Mapping[str, judging.Game] = {
    written: judging.Game(share, weight)
    for weight, shares in ((1, _FIRST), (_MUCH, _VERY))
    for label, share in shares.items()
    for written in (label, label.lower())
}
_PATTERNS = (r"\[\[([ABab<>=]+)\]\]", r"\[([ABab<>=]+)\]")


class _Arena:
    """Prompts of one kind against one baseline."""

    VERSION: ClassVar[str]
    CATEGORY: ClassVar[str]
    JUDGE_TOKENS: ClassVar[int]

    def __init__(self) -> None:
        told = json.loads(_official("judge_settings.json").read_text(encoding="utf-8"))
        shown = yaml.safe_load(_official(f"{self.VERSION}.yaml").read_text(encoding="utf-8"))
        own = told[self.CATEGORY]
        self.baseline = str(own["baseline"])
        prompt = judging.JudgePrompt(shown["prompt_template"], own["system_prompt"])
        settings = GenerationSettings(max_tokens=self.JUDGE_TOKENS)
        reading = judging.Written(LABELS, _PATTERNS, take="last", settings=settings)
        again = judging.asked_again(self.samples())
        self.contest = judging.Contest(prompt, _NAMES, reading, again)

    def samples(self) -> Iterator[Sample]:
        """The prompts of this kind with the baseline's answers.

        Raises:
            UsageError: a file is missing.
            DataError: a file is another, or the baseline left a prompt unanswered.
        """
        answers = _answers(f"{self.VERSION}/model_answer/{self.baseline}.jsonl")
        for place, row in numbered_jsonl(_official(f"{self.VERSION}/question.jsonl")):
            if row["category"] == self.CATEGORY:
                if row["uid"] not in answers:
                    raise DataError(
                        f"{place}: '{self.baseline}' has no answer to {row['uid']}; get its file again."
                    )
                kind = str(row.get("subcategory") or row.get("cluster"))
                yield Sample(row["uid"], row["prompt"], answers[row["uid"]], {"kind": kind})

    def prompt(self, sample: Sample) -> Prompt:
        return user(sample.input)

    def grade(self, sample: Sample, generation: Generation) -> Conversation:
        pair = (generation.text, sample.target)
        return self.contest.score(sample, pair, {"QUESTION": sample.input})

    def judging(self) -> Mapping[str, Any]:
        """How the judge is asked."""
        return judging.about({"pair": self.contest.prompt}, self.contest.reading.describe())

    def aggregate(self, scores: Mapping[str, Sequence[Score]]) -> Mapping[str, float]:
        """Win rate against the baseline by Bradley-Terry, with a 95% interval by prompt.

        Absent where one side won every game: that strength has no number.
        """
        votes = [vote for name, own in scores.items() for vote in battles(name, own[0])]
        if not votes:
            return {}
        found = strengths(votes, 2)[0]
        ends = {"win_rate": found.theta, "win_rate_low": found.low, "win_rate_high": found.high}
        # Two strengths with mean 0 are each other's negative.
        return {k: 1 / (1 + math.exp(-2 * theta)) for k, theta in ends.items() if theta is not None}


def battles(name: str, score: Score) -> list[Vote]:
    """Both games of a sample, the model as 0 and the baseline as 1.

    An empty answer loses both, the baseline's own text ties both: nobody was asked.
    """
    if score.reason == "empty":
        return [Vote(name, 0, 1, 0.0), Vote(name, 1, 0, 1.0)]
    games = score.detail[judging.KEY]["games"] or [[0.5, 1], [0.5, 1]]
    sides = ((0, 1), (1, 0))
    return [
        Vote(name, *side, float(share), int(weight))
        for side, (share, weight) in zip(sides, games, strict=True)
    ]


def _official(name: str) -> Path:
    where = f"{name} of lmarena/arena-hard-auto @ {_COMMIT}"
    return data_file(f"arena_hard/{name}", _SHA256[name], where)


def _answers(name: str) -> dict[str, str]:
    """A model's answers by prompt."""
    if name in _SHA256:
        file = _official(name)
    else:
        file = (data_root() or Path()) / "arena_hard" / name
        if data_root() is None or not file.is_file():
            raise UsageError(
                f"'{file}' is missing; put the baseline's answers of "
                f"huggingface.co/datasets/lmarena/arena-hard-auto there as arena_hard/{name}."
            )
    found = {}
    for place, row in numbered_jsonl(file):
        try:
            found[str(row["uid"])] = str(row["messages"][-1]["content"]["answer"])
        except (KeyError, IndexError, TypeError) as error:
            raise DataError(f"{place}: no answer in `messages`; get '{name}' again.") from error
    return found


def _card(measures: str, items: int, baseline: str, verified: str, **more: Any) -> Card:
    return Card(
        measures=f"{measures}, by how often a judge prefers the answer to {baseline}'s.",
        not_measures="Whether answers are right; the published figures under another judge.",
        source="github.com/lmarena/arena-hard-auto",
        licence="Apache-2.0",
        revision=_COMMIT,
        items=items,
        chance=0.5,
        verified=verified,
        **more,
    )


_UNVERIFIED = (
    "unverified: no published judgments were seen; prompts, labels and weights are the authors'"
)
_SETTINGS = GenerationSettings(max_tokens=4096)


@task(
    "arena-hard-v0.1",
    domain="chat",
    metrics=(Metric("win"),),
    settings=_SETTINGS,
    roles=("judge",),
    card=_card(
        "500 hard requests of Chatbot Arena's users",
        500,
        "gpt-4-0314",
        _UNVERIFIED,
        reference={"gpt-4-turbo-2024-04-09": 0.8263, "claude-3-5-sonnet-20240620": 0.7935},
    ),
)
class ArenaHard01(_Arena):
    """Arena-Hard-Auto v0.1."""

    VERSION, CATEGORY, JUDGE_TOKENS = "arena-hard-v0.1", "arena-hard-v0.1", 4096


@task(
    "arena-hard-v2.0",
    domain="chat",
    metrics=(Metric("win"),),
    settings=_SETTINGS,
    roles=("judge",),
    card=_card(
        "500 hard requests in coding and mathematics", 500, "o3-mini-2025-01-31", _UNVERIFIED
    ),
)
class ArenaHard20(_Arena):
    """Arena-Hard-Auto v2.0, hard prompts."""

    VERSION, CATEGORY, JUDGE_TOKENS = "arena-hard-v2.0", "hard_prompt", 16000


@task(
    "arena-hard-v2.0-creative",
    domain="chat",
    metrics=(Metric("win"),),
    settings=_SETTINGS,
    roles=("judge",),
    card=_card(
        "250 requests for creative writing",
        250,
        "gemini-2.0-flash-001",
        "unverified: the baseline's answers were not seen",
    ),
)
class ArenaHard20Creative(_Arena):
    """Arena-Hard-Auto v2.0, creative writing."""

    VERSION, CATEGORY, JUDGE_TOKENS = "arena-hard-v2.0", "creative_writing", 16000
