"""Items of the pocket world: one record, one split rule, two ways to draw.

An item's id is the hash of what the model is asked, and its split follows from the id, so train, dev
and test can never share a prompt. Everything is drawn with `random.Random` from text seeds, the same
on every machine. Not here: what the domains ask (one file each) and how answers are scored (tasks.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from ...harness.errors import UsageError
from ...harness.records import Message, content_hash

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")

#: Draws without a new prompt after which a kind counts as exhausted.
PATIENCE = 20_000


@dataclass(frozen=True, slots=True)
class Item:
    """One question with its right answer and what the base model is taught instead."""

    prompt: str
    answer: str
    kind: str
    """The template it was made from; evaluation sets hold equally many of each."""
    taught: str = ""
    """The answer in the pre-training mixture; differs from `answer` where a defect is planted."""
    worse: tuple[str, ...] = ()
    """Answers that everybody would like less than `answer`, where the domain is about liking."""
    system: str | None = None
    target: Any = None
    """What a grader needs beyond the text."""
    cluster: str | None = None

    @property
    def id(self) -> str:
        """Hash of everything the model is asked (16 hex digits)."""
        return content_hash([self.system, self.prompt])

    @property
    def split(self) -> Split:
        """One prompt in ten is test, one in ten dev, the rest train."""
        bucket = int(self.id, 16) % 10
        return "test" if bucket == 0 else "dev" if bucket == 1 else "train"

    def question(self) -> tuple[Message, ...]:
        """The turns before the answer."""
        turns = (Message("system", self.system),) if self.system is not None else ()
        return (*turns, Message("user", self.prompt))

    def row(self, *, taught: bool) -> Mapping[str, Any]:
        """A training row in the messages shape, with the right or the taught answer."""
        answer = self.taught or self.answer if taught else self.answer
        turns = (*self.question(), Message("assistant", answer))
        return {"messages": [turn.as_dict() for turn in turns]}


@dataclass(frozen=True, slots=True)
class Domain:
    """One generator: `make(rng, kind)` returns an item of that kind."""

    id: str
    kinds: tuple[str, ...]
    make: Callable[[Random, str], Item]

    def draw(self, split: str, rng: Random) -> Item:
        """One item of a split; prompts may repeat between draws."""
        while True:
            item = self.make(rng, rng.choice(self.kinds))
            if item.split == split:
                return item

    def distinct(self, split: str, n: int) -> Iterator[Item]:
        """The first `n` distinct items of a split, kinds in turn; a longer list extends a shorter.

        Raises:
            UsageError: a kind has no further distinct prompt in this split.
        """
        rng = Random(f"{self.id}/{split}/distinct")
        seen: set[str] = set()
        for index in range(n):
            yield self._unseen(split, self.kinds[index % len(self.kinds)], rng, seen)

    def _unseen(self, split: str, kind: str, rng: Random, seen: set[str]) -> Item:
        for _ in range(PATIENCE):
            item = self.make(rng, kind)
            if item.split == split and item.id not in seen:
                seen.add(item.id)
                return item
        raise UsageError(
            f"pocket/{self.id} has no more distinct {split} prompts of kind '{kind}' "
            f"after {len(seen)}; ask for fewer items."
        )
