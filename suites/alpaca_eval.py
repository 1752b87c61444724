"""AlpacaEval 2: a judge's preference between the model's answer and GPT-4 Turbo's (Dubois et al. 2024).

The official prompt labels two answers "m" and "M" and asks for one letter; the preference is the judge's
probability of either (`alpaca-eval-2`), or the letter that it writes (`alpaca-eval-2@written`, for judges
without log-probabilities). Unlike the official runs, which draw one order an item, every pair is asked about
in both orders and the mean counts, and answers are greedy. The length-controlled win rate stands beside
where the authors' df_gamed.csv lies in WATERBED_DATA/alpaca_eval2 and all instructions are judged.

Data: reference_outputs_gpt4_1106_preview.json and the prompt, as SOURCES lays them out. A sample's id is the
place in the official order. The data may not be used commercially (CC-BY-NC-4.0).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..harness import judging
from ..harness.errors import DataError
from ..harness.folders import data_file, data_root
from ..harness.records import (
    Conversation,
    Generation,
    GenerationSettings,
    Prompt,
    Sample,
    Score,
    user,
)
from ..harness.tasks import Card, Metric, task
from . import alpaca_figures

_COMMIT = "cd543a149df89434d8a54582c0151c0b945c3d20"
_FOLDER = "alpaca_eval2"
_ANSWERS = "reference_outputs_gpt4_1106_preview.json"
_ANSWERS_SHA256 = "83db546b872ddebee8965fd05fa48461ee3c32bc695c62fb57f2d214ff741ec4"
_PROMPT = "judge_prompt/alpaca_eval_clf_gpt4_turbo__alpaca_eval_clf.txt"
_PROMPT_SHA256 = "784227e6dc2832fc08c43d2c8ea3a308e7523780187a1aaad2f85e30bac85f62"
GAMED = "df_gamed.csv"
_TURN = re.compile(r"<\|im_start\|>(\w+)\n(.*?)\n?<\|im_end\|>", re.DOTALL)
_NAMES = ("output_1", "output_2")
_READINGS: Mapping[str, judging.Reading] = {
    "log-probabilities": judging.Chosen(("m", "M")),
    "written": judging.Written(
        {"m": judging.Game(1.0), "M": judging.Game(0.0)},
        (r"^\s*([mM])\s*$",),
        settings=GenerationSettings(max_tokens=8),
    ),
}


def official_prompt() -> judging.JudgePrompt:
    """The authors' prompt, which lies in the data with its turns marked.

    Raises:
        UsageError: it is not there.
        DataError: it is another.
    """
    text = data_file(
        f"{_FOLDER}/{_PROMPT}", _PROMPT_SHA256, _where("the judge's prompt")
    ).read_text(encoding="utf-8")
    turns = dict(_TURN.findall(text))
    return judging.JudgePrompt(turns["user"], turns["system"])


def _where(what: str) -> str:
    return f"{what} of tatsu-lab/alpaca_eval @ {_COMMIT}"


@task(
    "alpaca-eval-2",
    domain="chat",
    metrics=(Metric("win"),),
    settings=GenerationSettings(max_tokens=2048),
    roles=("judge",),
    card=Card(
        measures="How often a judge prefers the model's answer to GPT-4 Turbo's, over 805 instructions.",
        not_measures="Whether answers are right; several turns; the published figures under another judge "
        "than gpt-4-1106-preview.",
        source="github.com/tatsu-lab/alpaca_eval",
        licence="CC-BY-NC-4.0 (data)",
        revision=_COMMIT,
        items=805,
        chance=0.5,
        reference={
            "gpt-4o-2024-05-13": 0.5133,
            "Meta-Llama-3-8B-Instruct": 0.2257,
            "Meta-Llama-3.1-8B-Instruct-Turbo": 0.2184,
        },
        verified=(
            "against the published annotations of four models: win rates and errors to 1e-6, counts "
            "exact; the length-controlled prediction step within 0.18 points; the fit within 3 points "
            "with difficulties and gamed rows estimated, since the authors' table was not seen"
        ),
    ),
)
class AlpacaEval:
    """One instruction, one turn, no system prompt, and two games before a judge."""

    def __init__(self, reading: str = "log-probabilities") -> None:
        again = judging.asked_again(self.samples())
        self.contest = judging.Contest(official_prompt(), _NAMES, _READINGS[reading], again)

    @staticmethod
    def variant(text: str) -> Mapping[str, str]:
        """`written` reads the letter that the judge writes.

        Raises:
            UsageError: another word.
        """
        return judging.way("alpaca-eval-2", text, _READINGS)

    def samples(self) -> Iterator[Sample]:
        """The 805 instructions with the baseline's answers.

        Raises:
            UsageError: the data are not there.
            DataError: they are others.
        """
        file = data_file(f"{_FOLDER}/{_ANSWERS}", _ANSWERS_SHA256, _where(_ANSWERS))
        for number, row in enumerate(json.loads(file.read_text(encoding="utf-8"))):
            yield Sample(str(number), row["instruction"], row["output"], {"set": row["dataset"]})

    def prompt(self, sample: Sample) -> Prompt:
        return user(sample.input)

    def grade(self, sample: Sample, generation: Generation) -> Conversation:
        pair = (generation.text, sample.target)
        length = {"characters": len(generation.text)}
        return self.contest.score(sample, pair, {"instruction": sample.input}, detail=length)

    def judging(self) -> Mapping[str, Any]:
        """How the judge is asked, and why there is no length-controlled figure."""
        told = judging.about({"pair": self.contest.prompt}, self.contest.reading.describe())
        missing = None if _gamed_file() else f"{GAMED} is not in WATERBED_DATA/{_FOLDER}"
        return {**told, "absent": {"length-controlled win rate": missing}} if missing else told

    def aggregate(self, scores: Mapping[str, Sequence[Score]]) -> Mapping[str, float]:
        """AlpacaEval's own figures, as proportions."""
        own = {name: several[0] for name, several in scores.items() if several[0].scored}
        shares = {name: float(s.value or 0.0) for name, s in own.items()}
        if len(own) < 2:
            return {}
        found = alpaca_figures.win_rate([1 + share for share in shares.values()])
        sides = {"won": found.wins, "lost": found.losses, "drawn": found.draws}
        shown = {name: count / len(own) for name, count in sides.items()}
        lengths = {name: int(s.detail["characters"]) for name, s in own.items()}
        shown["discrete_win_rate"] = found.discrete
        return {**shown, **self._controlled(shares, lengths)}

    def _controlled(
        self, shares: Mapping[str, float], lengths: Mapping[str, int]
    ) -> Mapping[str, float]:
        """The length-controlled win rate, which is defined over all instructions only."""
        table, samples = _gamed_file(), list(self.samples())
        if table is None or len(shares) < len(samples):
            return {}
        gamed = alpaca_figures.read_gamed(table)
        if len(gamed.difficulty) != len(samples):
            raise DataError(
                f"'{table}' has {len(gamed.difficulty)} instructions, AlpacaEval has {len(samples)}; get "
                "it again."
            )
        weights = alpaca_figures.fit(
            [shares[s.id] for s in samples],
            [lengths[s.id] for s in samples],
            [len(s.target) for s in samples],
            list(gamed.difficulty),
            gamed,
        )
        found = alpaca_figures.predict(weights, list(gamed.difficulty))
        return {"lc_win_rate": found.win_rate, "lc_standard_error": found.standard_error}


def _gamed_file() -> Path | None:
    root = data_root()
    file = root / _FOLDER / GAMED if root else None
    return file if file and file.is_file() else None
