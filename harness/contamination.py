"""Contamination: which items of a benchmark stand in the text that a checkpoint was trained on.

An item is contaminated where its whole prompt was trained on, or at least `DIRTY` of the n-grams of its
question or of its gold answer. N-grams of 13 words are those of GPT-3's study (Brown et
al. 2020, appendix C); 80% is the border above which Llama 2's calls a sample dirty (Touvron et al. 2023,
section A.6). N-grams that more than `SHARED` items of a task have are its own wording and say nothing.
A text with fewer than N n-grams of its own (under 25 words) counts only as a whole: one word stands in
all of its n-grams, so that templates with a few open places would look like copies. Where all its
n-grams were trained on it is counted under `partly`.

What this cannot see: paraphrases, translations, short prompts inside longer texts, items that were cut
up or changed in many places, short answers without their prompt, and anything that an ancestor without
a trace was trained on. Where nothing is known the word is "unknown", never "clean".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .contamination_trace import Trace
from .ngrams import N, ngram_hashes, whole_hash, words_of
from .records import Choose, Generate, Sample
from .tasks import Task

if TYPE_CHECKING:
    from .ngrams import Hashes
    from .runner import TaskPlan

#: Share of an item's n-grams from which on it counts as trained on.
DIRTY = 0.8
#: Items that may share an n-gram before it counts as the benchmark's own wording.
SHARED = 10
#: What a short text counts for whose n-grams were all trained on: a copy, or a template filled alike.
_POSSIBLE = 0.5
#: Ids that a record names of one task.
MOST_IDS = 1000


@dataclass(frozen=True, slots=True)
class TaskOverlap:
    """What a trace holds of one task's items."""

    items: int
    contaminated: tuple[str, ...]
    """Ids, in the order of the items."""
    partly: int
    """Items of which some n-grams were trained on but not enough, or all of a short text."""
    unchecked: int
    """Items of which nothing is in the kept share of the hashes, so that nothing can be said."""

    @property
    def share(self) -> float:
        """Share of the items that are contaminated."""
        return len(self.contaminated) / self.items if self.items else 0.0

    def to_dict(self) -> dict[str, Any]:
        """As run.json holds it."""
        return {
            "items": self.items,
            "contaminated": len(self.contaminated),
            "share": self.share,
            "partly": self.partly,
            "unchecked": self.unchecked,
            "ids": list(self.contaminated[:MOST_IDS]),
        }


def of_checkpoint(folder: Path, plans: Iterable[TaskPlan]) -> dict[str, Any]:
    """What run.json says of the items that a checkpoint is about to be asked.

    Returns:
        `status`: `known`; `partly_unknown` where an ancestor has no trace; `unknown` without a trace,
        and then nothing else.

    Raises:
        DataError: the checkpoint's trace is damaged.
    """
    trace = Trace.load(folder)
    if trace is None:
        return {"status": "unknown"}
    return {
        "status": "partly_unknown" if trace.unknown else "known",
        "unknown_ancestors": list(trace.unknown),
        "rows": trace.rows,
        "kept": trace.ngrams.share,
        "tasks": {p.task.name: overlap(p.task, p.items, trace).to_dict() for p in plans},
    }


def overlap(task: Task, items: Sequence[Sample], trace: Trace) -> TaskOverlap:
    """Compare items of a task with a trace."""
    prints = [_fingerprint(task, item) for item in items]
    common = Counter(h for p in prints for h in frozenset().union(*p.parts))
    own = {h for h, count in common.items() if count <= SHARED}
    verdicts = [_share(p, own, trace) for p in prints]
    dirty = tuple(
        item.id for item, v in zip(items, verdicts, strict=True) if v is not None and v >= DIRTY
    )
    return TaskOverlap(
        items=len(items),
        contaminated=dirty,
        partly=sum(v is not None and 0 < v < DIRTY for v in verdicts),
        unchecked=sum(v is None for v in verdicts),
    )


@dataclass(frozen=True, slots=True)
class _Fingerprint:
    """An item as hashes."""

    whole: frozenset[int]
    parts: tuple[frozenset[int], ...]
    """N-grams of the question and of the gold answer."""


def _fingerprint(task: Task, item: Sample) -> _Fingerprint:
    turns = [words_of(text) for text in _asked(task, item)]
    whole = [[word for turn in turns for word in turn]]
    if isinstance(item.input, str):  # the question without what the benchmark puts around it
        whole.append(words_of(item.input))
    # Not of the prompt where the question is stored: its worked examples may come from training sets.
    question, answer = ([words_of(t) for t in _texts(v)] for v in (item.input, item.target))
    parts = (question or turns, answer)
    return _Fingerprint(
        whole=frozenset(whole_hash(words) for words in whole if words),
        parts=tuple(frozenset(ngram_hashes(texts).tolist()) for texts in parts),
    )


def _asked(task: Task, item: Sample) -> list[str]:
    """The texts of the first prompt of an item."""
    conversation = task.converse(item)
    try:
        request = next(conversation)
    except Exception:  # a bad item is the evaluation's to report
        return []
    finally:
        conversation.close()
    prompt = request.prompt if isinstance(request, Generate | Choose) else ()
    return [prompt] if isinstance(prompt, str) else [turn.content for turn in prompt]


def _texts(value: Any) -> Iterator[str]:
    """Every text in what a benchmark stores of an item."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (text for part in value.values() for text in _texts(part))
    elif isinstance(value, Sequence) and not isinstance(value, bytes):
        yield from (text for part in value for text in _texts(part))


def _share(item: _Fingerprint, own: set[int], trace: Trace) -> float | None:
    """The share of an item that was trained on; None where the trace can say nothing."""
    whole = _array(item.whole)
    if trace.wholes.holds(whole).any():
        return 1.0
    shares = [s for part in item.parts if (s := _held(part & own, trace)) is not None]
    if shares:
        return max(shares)
    return 0.0 if trace.wholes.could_hold(whole).any() else None


def _held(hashes: frozenset[int], trace: Trace) -> float | None:
    values = _array(hashes)
    visible = values[trace.ngrams.could_hold(values)]
    if not len(visible):
        return None
    share = float(trace.ngrams.holds(visible).mean())
    return share if len(hashes) >= N else _POSSIBLE * (share == 1.0)


def _array(hashes: Iterable[int]) -> Hashes:
    import numpy as np

    return np.array(sorted(hashes), np.uint64)
