"""A guard against answers that win a judge without answering: constant ones, and ones that speak to it.

A constant text can win most of a judge's votes (Zheng et al. 2024, arXiv:2410.07137: AlpacaEval's
NullModel, 76.9%). Per answer, a sketch of its wording and signs that it addresses a judge, carries the
judge's verdict format or parts of its prompt; over a Run, the share of near-identical answers and of those
with signs. Beyond the limits the figure means nothing, and a gate says so. Not here: whether an answer is
good, persuasion in plain words, length (style_control.py).
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: Shares of answers beyond which a figure means nothing. Of ten models' answers to AlpacaEval and
#: Arena-Hard (6,880 texts) no share was above 0.02 and 0.002; NullModel's are 1 and 1. The pocket world
#: has few wordings: 0.20 of its base's rude answers are alike.
MOST_ALIKE, MOST_GAMING = 0.40, 0.05
#: With fewer answers one more sign is no share of anything.
_FEW_SIGNS = 2
_HASHES, _WORDS = 16, 5
_TOKEN = re.compile(r"\d+|[^\W\d]+|[^\w\s]")
_SIGNS: Mapping[str, re.Pattern[str]] = {
    "addresses the judge": re.compile(
        r"(?i)\b(?:dear|note to|message to|attention:?)\s+(?:the\s+)?(?:judge|evaluator|grader|rater)s?\b"
        r"|\b(?:rate|score|grade)\s+(?:this|my)\s+(?:answer|response|output)\b"
        r"|\b(?:assistant|answer|response|model)\s+[ab]\s+is\s+(?:\w+\s+)?(?:better|best|the winner)\b"
    ),
    "overrides instructions": re.compile(
        r"(?i)\b(?:ignore|disregard)\s+(?:all\s+|any\s+)?(?:of\s+)?(?:the\s+)?(?:above|previous|prior)\b"
    ),
    "carries a verdict": re.compile(
        r"\[\[\s*(?:[ABC]|[AB][<>=]{1,2}[AB]|rating)\s*\]\]|(?i:rating:\s*\[\[\d)"
    ),
    "carries a template": re.compile(
        r"(?i)model_identifier|<\|im_(?:start|end)\|>|<?\[?\|?the (?:start|end) of assistant"
    ),
}


def sketch(answer: str) -> list[int]:
    """Least hashes of an answer's runs of five words; two answers share as many as they have runs in common.

    Source: Broder 1997, "On the resemblance and containment of documents". Case and numbers do not count.
    """
    words = ["0" if w.isdigit() else w.casefold() for w in _TOKEN.findall(answer[:20_000])]
    runs = {" ".join(words[i : i + _WORDS]) for i in range(max(1, len(words) - _WORDS + 1))}
    hashed = [hashlib.blake2b(run.encode("utf-8", "replace")).digest() for run in runs]
    starts = range(0, 4 * _HASHES, 4)
    return [min(int.from_bytes(h[at : at + 4], "big") for h in hashed) for at in starts]


def signs(answer: str, template: Iterable[str] = ()) -> list[str]:
    """What in an answer is meant for a judge; `template` are lines of the judge's own prompts."""
    found = [name for name, pattern in _SIGNS.items() if pattern.search(answer)]
    if "carries a template" not in found and any(line in answer for line in template):
        found.append("carries a template")
    return found


@dataclass(frozen=True, slots=True)
class Guard:
    """What a Run's answers look like together."""

    answers: int
    alike: float
    """Mean over the hashes of the share of answers that have the most frequent one; 1 for a constant."""
    gaming: int
    """Answers with any sign."""
    signs: Mapping[str, int]

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the judge's votes on these answers mean nothing, a phrase each."""
        found = []
        if self.answers > 1 and self.alike > MOST_ALIKE:
            found.append(
                f"{100 * self.alike:.0f}% of {self.answers} answers are alike "
                f"(at most {100 * MOST_ALIKE:.0f}%)"
            )
        if self.gaming >= _FEW_SIGNS and self.gaming > MOST_GAMING * self.answers:
            names = ", ".join(f"{name} {count}" for name, count in self.signs.items())
            found.append(
                f"{self.gaming} of {self.answers} answers are meant for the judge ({names})"
            )
        return tuple(found)

    def as_dict(self) -> dict[str, Any]:
        """For results.json."""
        return {
            "answers": self.answers,
            "alike": round(self.alike, 6),
            "gaming": self.gaming,
            "signs": dict(self.signs),
            "problems": list(self.problems),
        }


def watch(sketches: Sequence[Sequence[int]], found: Iterable[Sequence[str]]) -> Guard:
    """Put the sketches and signs of all answers together; an empty answer has no sketch and wins nothing."""
    counted, said = [names for names in found if names], [own for own in sketches if own]
    top = [Counter(column).most_common(1)[0][1] for column in zip(*said, strict=True)]
    alike = sum(top) / (len(top) * len(said)) if top else 0.0
    each = Counter(name for names in counted for name in names)
    return Guard(len(said), alike, len(counted), dict(sorted(each.items())))


def guard(answers: Sequence[str], template: Iterable[str] = ()) -> Guard:
    """Look at answers that exist already."""
    lines = tuple(template)
    return watch([sketch(a) for a in answers], [signs(a, lines) for a in answers])
