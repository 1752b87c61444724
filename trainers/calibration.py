"""Calibration data of the compression stages: rows by name, as tokens, one row at a time.

Chats and texts in the forms of harness/dataset_rows.py; a test split is refused there. What a row holds
is seen as a whole, questions too: these stages look at activations, not at losses.

Calibration rows are recorded and traced like rows that were trained on, though no loss is taken on them:
the weights, ranges or layers that a stage chooses fit these very rows, so a test item among them would
flatter the result on itself. Not here: what is done with them (quantize.py, prune_calibrated.py,
prune_structured.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .chats import Example
from .corpus import encode_corpus, load_corpus

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ..harness.datasets import Row


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a compression method may look at."""

    data: Mapping[str, Sequence[Row]]
    """Rows under the references that the recipe names."""
    examples: Sequence[Example]


#: For methods that look at the weights alone.
NO_DATA = Calibration({}, ())


def gather(
    data: Mapping[str, int | None],
    tokenizer: PreTrainedTokenizerBase,
    longest: int | None,
    seed: int,
) -> Calibration:
    """Load rows and encode them.

    Args:
        data: datasets of chats or texts, with the number of rows of each (None: all).
        longest: most tokens of a row; texts are cut there, longer chats refused.

    Raises:
        UsageError: no data, an unknown dataset, a test split.
        DataError: a bad row, or a chat that is too long.
    """
    rows = load_corpus(data, seed)
    return Calibration(rows, encode_corpus(rows, tokenizer, longest))


def loader(examples: Sequence[Example]) -> Any:
    """A torch DataLoader of single rows (`input_ids`, `attention_mask`, each [1, tokens]), in order."""
    import torch
    from torch.utils.data import DataLoader

    rows: Any = [
        {
            "input_ids": torch.tensor(example.tokens),
            "attention_mask": torch.ones(len(example.tokens), dtype=torch.long),
        }
        for example in examples
    ]
    return DataLoader(rows, batch_size=1, shuffle=False)
