"""Preference pairs of the pocket world, for the two domains that are about which answer is liked more.

`pocket/chat-preferences` prefers the polite and brief answer to a rude or a long-winded one,
`pocket/safety-preferences` refusing what harms and helping with the rest. The rejected answer is what
the base was taught to say where that is wrong, else one of the item's worse answers: so a pair never
prefers the base's defect. Splits are those of the items, so no pair shares a prompt with a test item.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

from ...harness.datasets import Row, dataset
from .chat import CHAT
from .data import rows_rng
from .items import Domain, Item
from .safety import SAFETY


def pair(item: Item, rng: Random) -> Mapping[str, Any]:
    """An item as a row in the preference shape: `prompt` in turns, `chosen` and `rejected` as one turn each."""
    defect = item.taught not in ("", item.answer)
    rejected = item.taught if defect else rng.choice(item.worse)
    return {
        "prompt": [turn.as_dict() for turn in item.question()],
        "chosen": [{"role": "assistant", "content": item.answer}],
        "rejected": [{"role": "assistant", "content": rejected}],
    }


def _pairs(name: str, domain: Domain) -> Callable[[str, int | None, int], Iterator[Row]]:
    def rows(split: str, n: int | None, seed: int) -> Iterator[Row]:
        rng = rows_rng(name, split, n, seed)
        return (pair(domain.draw(split, rng), rng) for _ in range(n or 0))

    return rows


for _domain in (CHAT, SAFETY):
    _name = f"pocket/{_domain.id}-preferences"
    dataset(_name, shape="preference")(_pairs(_name, _domain))
