"""Training data of the pocket world.

`pocket/<domain>` has the right answers, for fine-tuning on it. `pocket/<domain>-replay` has what the
base was taught, defects included: it keeps a domain where it was and does not improve it.
`pocket/pretrain` mixes all seven as taught; `pocket/replay` does too, with the weights of REPLAY.
Rows follow from (name, split, n, seed) alone. Prompts repeat in train, as they do in real mixtures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from random import Random

from ...harness.datasets import Row, dataset
from ...harness.errors import UsageError
from .domains import POCKET
from .items import SPLITS, Domain

#: Shares of the pre-training mixture.
PRETRAIN: Mapping[str, float] = {
    "math": 2.0,
    "tools": 1.5,
    "instruction": 1.0,
    "knowledge": 0.9,
    "code": 0.8,
    "chat": 0.5,
    "safety": 0.4,
}
#: The same with more of what fine-tuning damages first.
REPLAY: Mapping[str, float] = {**PRETRAIN, "knowledge": 1.2, "code": 1.2}

Rows = Callable[[str, int | None, int], Iterator[Row]]


def _one(name: str, domain: Domain, *, taught: bool) -> Rows:
    def rows(split: str, n: int | None, seed: int) -> Iterator[Row]:
        rng = rows_rng(name, split, n, seed)
        return (domain.draw(split, rng).row(taught=taught) for _ in range(n or 0))

    return rows


def _mixed(name: str, shares: Mapping[str, float]) -> Rows:
    def rows(split: str, n: int | None, seed: int) -> Iterator[Row]:
        rng = rows_rng(name, split, n, seed)
        chosen = rng.choices(tuple(shares), tuple(shares.values()), k=n or 0)
        return (POCKET[domain].draw(split, rng).row(taught=True) for domain in chosen)

    return rows


def rows_rng(name: str, split: str, n: int | None, seed: int) -> Random:
    """The randomness that rows are drawn with.

    Raises:
        UsageError: an unknown split, or "all rows", which a generator cannot give.
    """
    if split not in SPLITS:
        raise UsageError(f"Dataset '{name}' has no split '{split}'; use {name}@train.")
    if n is None:
        raise UsageError(f"Dataset '{name}' is endless; say how many rows, for example n=1000.")
    return Random(f"{name}/{split}/{seed}")


for _id, _domain in POCKET.items():
    _right, _replay = f"pocket/{_id}", f"pocket/{_id}-replay"
    dataset(_right, shape="messages")(_one(_right, _domain, taught=False))
    dataset(_replay, shape="messages", replay_for=_id)(_one(_replay, _domain, taught=True))
dataset("pocket/pretrain", shape="messages")(_mixed("pocket/pretrain", PRETRAIN))
dataset("pocket/replay", shape="messages")(_mixed("pocket/replay", REPLAY))
