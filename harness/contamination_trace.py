"""What a checkpoint was trained on, as hashes in one small file beside its weights.

A trace holds hashes of the n-grams of the training text, and of whole turns and prompts, which is all
that short ones have. It goes with the weights, and a child's trace is the union with its parent's. It
is no part of a checkpoint's digest. Where there are more than `MOST` hashes of a kind, those above a
falling threshold are dropped (distinct sampling, Gibbons 2001): what is kept is a known share of all
distinct ones, chosen by nothing but the text, so that the share of an item's n-grams that was trained
on can still be estimated.

Not here: comparing items with a trace (contamination.py). A trace cannot know what an ancestor without
one was trained on; it names that ancestor.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .dataset_rows import Row, texts_of
from .errors import DataError
from .ngrams import ngram_hashes, whole_hash, words_of

if TYPE_CHECKING:
    from numpy import bool_
    from numpy.typing import NDArray

    from .ngrams import Hashes

SIDECAR = "waterbed.ngrams.npz"
VERSION = 1
#: Hashes of one kind in a trace: 8 bytes each.
MOST = 8_000_000
#: Rows that are hashed in one go.
_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Sketch:
    """Distinct hashes, or a known share of them."""

    hashes: Hashes
    """Ascending; all below 2**(64 - halvings)."""
    halvings: int = 0
    """The share that is kept is 2**-halvings."""

    @classmethod
    def of(cls, hashes: Hashes, halvings: int = 0, most: int = MOST) -> Sketch:
        """The distinct ones of some hashes, thinned until `most` are left."""
        kept = _distinct(hashes[_below(hashes, halvings)])
        while len(kept) > most:
            halvings += 1
            kept = kept[_below(kept, halvings)]
        return cls(kept, halvings)

    @classmethod
    def empty(cls) -> Sketch:
        """Nothing was seen."""
        import numpy as np

        return cls(np.empty(0, np.uint64))

    @property
    def share(self) -> float:
        """Of all distinct hashes that were seen, how many are here."""
        return float(2.0**-self.halvings)

    def joined(self, hashes: Hashes, halvings: int = 0, most: int = MOST) -> Sketch:
        """This and further hashes."""
        import numpy as np

        both = np.concatenate([self.hashes, hashes])
        return Sketch.of(both, max(self.halvings, halvings), most)

    def could_hold(self, hashes: Hashes) -> NDArray[bool_]:
        """Which hashes would be here if they had been seen."""
        return _below(hashes, self.halvings)

    def holds(self, hashes: Hashes) -> NDArray[bool_]:
        """Which hashes are here."""
        import numpy as np

        if not len(self.hashes):
            return np.zeros(len(hashes), bool)
        places = np.searchsorted(self.hashes, hashes).clip(max=len(self.hashes) - 1)
        found: NDArray[bool_] = self.hashes[places] == hashes
        return found


def _distinct(hashes: Hashes) -> Hashes:
    """Ascending, each once; many times faster than np.unique, which goes by a hash table."""
    import numpy as np

    ordered = np.sort(hashes)
    first = np.ones(len(ordered), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]


def _below(hashes: Hashes, halvings: int) -> NDArray[bool_]:
    import numpy as np

    below: NDArray[bool_] = hashes <= np.uint64((1 << (64 - halvings)) - 1)
    return below


@dataclass(frozen=True, slots=True)
class Trace:
    """What is known of a checkpoint's training text."""

    ngrams: Sketch
    wholes: Sketch
    rows: int = 0
    """Rows of all stages since the first with a trace."""
    unknown: tuple[str, ...] = ()
    """Digests of ancestors without a trace, and stages that did not tell what they learned from."""

    @classmethod
    def of(cls, rows: Iterable[Row], most: int = MOST) -> Trace:
        """The trace of training on rows in one of the forms of dataset_rows.py."""
        import numpy as np

        ngrams, wholes, count = Sketch.empty(), Sketch.empty(), 0
        waiting: list[Hashes] = []
        for block in _blocks(rows):
            texts = [[words_of(text) for text in texts_of(row)] for row in block]
            found = ngram_hashes(words for row in texts for words in row)
            waiting.append(found[ngrams.could_hold(found)])
            if sum(map(len, waiting)) > most // 2:
                ngrams, waiting = ngrams.joined(np.concatenate(waiting), most=most), []
            whole = {h for row, cut in zip(block, texts, strict=True) for h in _wholes(row, cut)}
            wholes = wholes.joined(np.fromiter(whole, np.uint64, len(whole)), most=most)
            count += len(block)
        rest = np.concatenate([*waiting, np.empty(0, np.uint64)])
        return cls(ngrams.joined(rest, most=most), wholes, count)

    @classmethod
    def untold(cls, who: str) -> Trace:
        """Training of which nothing is known."""
        return cls(Sketch.empty(), Sketch.empty(), unknown=(who,))

    def joined(self, parent: Trace) -> Trace:
        """This training after the parent's."""
        return Trace(
            self.ngrams.joined(parent.ngrams.hashes, parent.ngrams.halvings),
            self.wholes.joined(parent.wholes.hashes, parent.wholes.halvings),
            self.rows + parent.rows,
            tuple(sorted({*self.unknown, *parent.unknown})),
        )

    def save(self, folder: Path) -> None:
        """Write the trace of the checkpoint in `folder`."""
        import numpy as np

        told = {
            "version": VERSION,
            "rows": self.rows,
            "unknown": list(self.unknown),
            "halvings": [self.ngrams.halvings, self.wholes.halvings],
        }
        with (folder / SIDECAR).open("wb") as file:
            np.savez(
                file,
                told=np.array(json.dumps(told)),
                ngrams=self.ngrams.hashes,
                wholes=self.wholes.hashes,
            )

    @classmethod
    def load(cls, folder: Path) -> Trace | None:
        """The trace of the checkpoint in `folder`, or None where it has none.

        Raises:
            DataError: the file is damaged or of another version.
        """
        import numpy as np

        path = folder / SIDECAR
        if not path.is_file():
            return None
        try:
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                return _read(json.loads(str(file["told"])), file["ngrams"], file["wholes"])
        except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(
                f"'{path}' is no trace of training text ({error}); copy it again, or delete it and the "
                "training counts as unknown."
            ) from error


def leave_trace(
    folder: Path,
    stage: str,
    rows: Iterable[Row] | None,
    parent: tuple[str, Path] | None,
    beside: Iterable[tuple[str, Path]] = (),
) -> None:
    """Write what the new checkpoint in `folder` was trained on, with what its parent was.

    Args:
        rows: the stage's rows; empty for a stage that learns from no text, None for one that does not
            tell, and then its training counts as unknown.
        parent: digest and folder of the checkpoint it was made from.
        beside: the same of others whose weights or answers went into it.

    Raises:
        DataError: the trace of one of them is damaged.
    """
    trace = Trace.of(rows) if rows is not None else Trace.untold(f"stage {stage}")
    for digest, where in (*([parent] if parent else ()), *beside):
        trace = trace.joined(Trace.load(where) or Trace.untold(digest))
    trace.save(folder)


def _read(told: Any, ngrams: Hashes, wholes: Hashes) -> Trace:
    import numpy as np

    if told["version"] != VERSION:
        raise ValueError(f"version {told['version']}, this waterbed reads {VERSION}")
    for hashes in (ngrams, wholes):
        if hashes.dtype != np.uint64 or hashes.ndim != 1 or (hashes[1:] <= hashes[:-1]).any():
            raise ValueError("its hashes are not ascending 64-bit numbers")
    first, second = (int(h) for h in told["halvings"])
    return Trace(
        Sketch(ngrams, first),
        Sketch(wholes, second),
        int(told["rows"]),
        tuple(str(digest) for digest in told["unknown"]),
    )


def _blocks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    rest = iter(rows)
    while block := list(islice(rest, _ROWS)):
        yield block


def _wholes(row: Row, texts: Sequence[Sequence[str]]) -> Iterator[int]:
    """Hashes of each text by itself, and of everything that stands before each answer."""
    turns = [*row.get("messages", ()), *row.get("prompt", ()), *row.get("chosen", ())]
    yield from (whole_hash(words) for words in texts if words)
    before: list[str] = []
    for index, (turn, words) in enumerate(zip(turns, texts, strict=False)):
        if turn["role"] == "assistant" and index > 1:
            yield whole_hash(before)
        before.extend(words)
    if turns and turns[-1]["role"] != "assistant" and len(turns) > 1:
        yield whole_hash(before)
