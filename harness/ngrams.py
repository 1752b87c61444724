"""Words of a text, and 64-bit hashes of its n-grams, fast enough for a million rows.

A text is lower-cased and cut into words and arithmetic signs; all other marks and spaces go, so that
another layout of the same text is the same text. Signs of scripts without spaces count as words. A
hash is a polynomial over the hashes of its words, the same on every machine. Not here: what is done
with overlaps (contamination.py).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import uint64
    from numpy.typing import NDArray

    Hashes = NDArray[uint64]

#: Words of one n-gram, as in GPT-3's study of its own test sets (Brown et al. 2020, appendix C).
N = 13

#: CJK, kana and hangul one by one; other letters and digits in runs; signs that change a sum.
_WORD = re.compile(
    "[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]|"
    "[^\\W\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]+|[-+*/=<>^%]"
)
#: Hashes of words that are kept, about 100 bytes each.
_MOST_WORDS = 1 << 19
_MULTIPLIER = 0x9E3779B97F4A7C15  # odd, so that no word is ever multiplied away


def words_of(text: str) -> list[str]:
    """The words of a text, in order."""
    return _WORD.findall(text.casefold())


def whole_hash(words: Sequence[str]) -> int:
    """64-bit hash of a whole text by its words."""
    return _hash64(" ".join(words))


def ngram_hashes(texts: Iterable[Sequence[str]]) -> Hashes:
    """Hashes of the n-grams of some texts, each given by its words.

    Returns:
        One hash an n-gram, in order, none across two texts; shape (sum of max(0, words - N + 1),).
    """
    import numpy as np

    long = [words for words in texts if len(words) >= N]
    if not long:
        return np.empty(0, np.uint64)
    lengths = np.array([len(words) for words in long])
    word_hashes = np.fromiter(
        map(_WORD_HASHES.__getitem__, chain.from_iterable(long)), np.uint64, int(lengths.sum())
    )
    total = np.zeros(len(word_hashes) - N + 1, np.uint64)
    for offset in range(N):  # Horner's rule, modulo 2**64, over all positions at once
        total = total * np.uint64(_MULTIPLIER) + word_hashes[offset : offset + len(total)]
    inside = np.ones(len(word_hashes), bool)  # whether an n-gram that starts here ends in its text
    for back in range(1, N):
        inside[np.cumsum(lengths) - back] = False
    return _mixed(total[inside[: len(total)]])


def _mixed(values: Hashes) -> Hashes:
    """Spread differences in any bit over all bits (splitmix64, Steele et al. 2014): sampling by size
    needs hashes that are uniform."""
    import numpy as np

    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


class _WordHashes(dict[str, int]):
    """Hashes of words seen before; forgets them all when they become too many."""

    def __missing__(self, word: str) -> int:
        if len(self) >= _MOST_WORDS:
            self.clear()
        self[word] = found = _hash64(word)
        return found


_WORD_HASHES = _WordHashes()


def _hash64(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")
