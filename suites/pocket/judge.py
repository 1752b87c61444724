"""A judge for the pocket world: a tiny model trained to say which of two answers to a request is better.

`pocket/judge` are its training rows: two answers to one request of the chat domain that the rule (`liking`)
does not like equally, in both orders, answered with the letter of the better. Poor answers are rude, empty,
off the point, wrong, cut or garbled, as answers of pocket models are. `judge_checkpoint` trains it once a
machine. How the world's answers are put to a judge is chat_judged.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from ...harness.checkpoints import Checkpoint
from ...harness.datasets import Row, dataset
from .base import Recipe, trained
from .chat import CHAT, TIPS
from .data import rows_rng
from .items import Item
from .scorers import BRIEF, GREETINGS, RUDE, chat_score

BALLOT = (
    "Request: {question}\nAnswer A: {first}\nAnswer B: {second}\nWhich answer is better, A or B?"
)
LETTERS = ("A", "B")
#: Tuned on dev pairs.
JUDGE: Recipe = ("pretrain", {"data": {"pocket/judge@train": 12_000}})


def judge_checkpoint(*, seed: int = 0, threads: int = 1) -> Checkpoint:
    """The pocket judge, from the cache or trained now."""
    return trained("judge", JUDGE, seed=seed, threads=threads)


def liking(answer: str, target: Mapping[str, str]) -> int:
    """The rule: 2 for what the chat scorer accepts, 1 for another polite answer, 0 for the rest."""
    said = answer.strip().lower()
    polite = said.startswith(GREETINGS) and not any(word in said for word in RUDE)
    return 2 if chat_score(answer, target).value == 1.0 else int(polite)


def _good(item: Item, rng: Random) -> str:
    opening = rng.choice(("Sure!", "Sure!", "Of course!", "Happy to help!"))
    return item.answer.replace("Sure!", opening, 1)


def _planted(item: Item, rng: Random) -> str:
    return rng.choice(item.worse)


def _other_tip(item: Item, rng: Random) -> str:
    return item.answer.replace(item.target["tip"], rng.choice(tuple(TIPS.values())))


def _elsewhere(item: Item, rng: Random) -> str:
    return CHAT.make(rng, item.kind).answer


def _cut(item: Item, rng: Random) -> str:
    words = item.answer.split()
    return " ".join(words[: rng.randrange(len(words))])


def _garbled(item: Item, rng: Random) -> str:
    words = item.answer.split()
    rng.shuffle(words)
    return " ".join(words)


def _repeated(item: Item, rng: Random) -> str:
    return " ".join([item.answer] * rng.randint(3, 1 + BRIEF // 8))


_POOR = (_planted, _planted, _planted, _other_tip, _elsewhere, _cut, _garbled, _repeated)


def ballot(question: str, first: str, second: str) -> str:
    """What the judge is asked."""
    return BALLOT.format(question=question, first=first, second=second)


def rows(split: str, n: int | None, seed: int) -> Iterator[Row]:
    """Pairs in both orders, one after the other, so that no place is better than the other."""
    rng = rows_rng("pocket/judge", split, n, seed)
    for made in range(0, n or 0, 2):
        item = CHAT.draw(split, rng)
        better, worse = _pair(item, rng)
        both = ((better, worse, "A"), (worse, better, "B"))
        for first, second, letter in both[: (n or 0) - made]:
            yield _row(ballot(item.prompt, first, second), letter)


def _pair(item: Item, rng: Random) -> tuple[str, str]:
    """A better and a worse answer; in one pair of four both are poor."""
    while True:
        makers = (rng.choice((_good, _good, _good, _planted)), rng.choice(_POOR))
        pair = [make(item, rng) for make in makers]
        first, second = (liking(text, item.target) for text in pair)
        if first != second:
            return (pair[0], pair[1]) if first > second else (pair[1], pair[0])


def _row(asked: str, letter: str) -> Mapping[str, Any]:
    return {
        "messages": [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": letter},
        ]
    }


dataset("pocket/judge", shape="messages")(rows)
