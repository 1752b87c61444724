"""What differs between two texts, word by word, at a bounded cost.

The common beginning and end are found first, in linear time; only the middle goes through difflib,
and only while the product of its lengths stays within `cost`. Beyond it the middle counts as one
replacement. Not here: HTML.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: A word with the blanks after it; a sign; blanks on their own. Joined they are the text again.
_TOKEN = re.compile(r"\w+[^\S\n]*|[^\w\s][^\S\n]*|\s")
#: Below this share of common words, marking words one by one shows nothing.
_ALIKE = 0.3


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of text; `changed` if the other side does not have it."""

    text: str
    changed: bool


Side = tuple[Segment, ...]


def word_diff(before: str, after: str, cost: int = 100_000) -> tuple[Side, Side]:
    """Both texts as segments. Joining the texts of a side gives the side's text back.

    Texts that have little in common come back as one unmarked segment each.
    """
    a, b = _TOKEN.findall(before), _TOKEN.findall(after)
    start, end = _common(a, b)
    middle_a, middle_b = a[start : len(a) - end], b[start : len(b) - end]
    blocks = _blocks(middle_a, middle_b, cost)
    same = start + end + sum(size for _, _, size in blocks)
    if same < _ALIKE * max(len(a), len(b)):
        return _whole(before), _whole(after)
    left = _side(a, start, end, [(i, size) for i, _, size in blocks])
    right = _side(b, start, end, [(j, size) for _, j, size in blocks])
    return left, right


def _whole(text: str) -> Side:
    return (Segment(text, False),) if text else ()


def _common(a: Sequence[str], b: Sequence[str]) -> tuple[int, int]:
    """Lengths of the common beginning and of the common end, which do not overlap."""
    most = min(len(a), len(b))
    start = next((i for i in range(most) if a[i] != b[i]), most)
    most -= start
    end = next((i for i in range(most) if a[-1 - i] != b[-1 - i]), most)
    return start, end


def _blocks(a: Sequence[str], b: Sequence[str], cost: int) -> list[tuple[int, int, int]]:
    """Matching stretches (start in a, start in b, length); those of blanks or one sign are noise."""
    if not a or not b or len(a) * len(b) > cost:
        return []
    found = difflib.SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
    return [(i, j, n) for i, j, n in found if sum(t[:1].isalnum() for t in a[i : i + n]) >= 1]


def _side(tokens: Sequence[str], start: int, end: int, kept: Iterable[tuple[int, int]]) -> Side:
    """Segments of one side: `kept` are (start, length) of common stretches inside the middle."""
    segments: list[Segment] = []

    def add(lo: int, hi: int, changed: bool) -> None:
        if hi > lo:
            segments.append(Segment("".join(tokens[lo:hi]), changed))

    add(0, start, False)
    at = start
    for offset, length in kept:
        add(at, start + offset, True)
        add(start + offset, start + offset + length, False)
        at = start + offset + length
    add(at, len(tokens) - end, True)
    add(len(tokens) - end, len(tokens), False)
    return tuple(segments)
