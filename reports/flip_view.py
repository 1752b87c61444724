"""Flips made ready for side-by-side reading: texts cut, compared word by word, evidence shortened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .flips import Answer, Flip, FlipGroup
from .hostile import Excerpt, excerpt
from .textdiff import Segment, word_diff

#: Longest extracted answer and longest evidence shown, in characters.
_SHORT = 200


@dataclass(frozen=True, slots=True)
class Pane:
    """One side's answer: the differing words marked in both of its ends."""

    answer: Answer
    head: tuple[Segment, ...]
    note: str
    tail: tuple[Segment, ...]
    extracted: Excerpt
    detail: Excerpt


@dataclass(frozen=True, slots=True)
class FlipView:
    """One flip, as shown."""

    flip: Flip
    prompt: Excerpt
    baseline: Pane
    candidate: Pane


def flip_views(group: FlipGroup | None, limit: int, characters: int) -> tuple[FlipView, ...]:
    """The first `limit` flips of a group, newly failing first, texts of at most `characters`."""
    if group is None:
        return ()
    ordered = (*group.of("newly_failing"), *group.of("newly_passing"))
    return tuple(_view(flip, characters) for flip in ordered[:limit])


def least_bytes(groups: Sequence[tuple[FlipGroup, int]], characters: int) -> int:
    """A lower bound of what the texts of the first flips of each group take."""
    total = 0
    for group, limit in groups:
        for flip in group.flips[:limit]:
            texts = (flip.prompt, flip.baseline.text, flip.candidate.text)
            total += sum(min(len(text), characters) for text in texts)
    return total


def _view(flip: Flip, characters: int) -> FlipView:
    before, after = (excerpt(a.text, characters) for a in (flip.baseline, flip.candidate))
    heads = word_diff(before.head, after.head)
    tails = word_diff(before.tail, after.tail)
    return FlipView(
        flip,
        excerpt(flip.prompt, characters),
        _pane(flip.baseline, heads[0], before.note, tails[0]),
        _pane(flip.candidate, heads[1], after.note, tails[1]),
    )


def _pane(answer: Answer, head: tuple[Segment, ...], note: str, tail: tuple[Segment, ...]) -> Pane:
    shown = excerpt(answer.extracted, _SHORT), excerpt(answer.detail, _SHORT)
    return Pane(answer, head, note, tail, *shown)
