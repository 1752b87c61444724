"""Language identification as IFEval uses it: langdetect's answer with its random seed fixed at 0.

The n-gram profiles, the character tables and the sampling are langdetect's (Shuyo's algorithm; the
package loads its own data). What differs is the way there: every sampled n-gram multiplies the same
floats in the same order, but the text is cut to what the detector reads before it is searched, n-grams
are listed in one pass, and sampling stops once no later trial can change the winner.

Not here: probabilities, other seeds, texts in several languages.
"""

from __future__ import annotations

import functools
import random
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

_SEED = 0
_SPACES = re.compile(" {2,}")
_NOTHING = "   "
"""Stands before a word's first character: makes a 3-gram too long to be known."""


def language(text: str) -> str | None:
    """The language code langdetect finds with seed 0, or None for a text without letters it knows."""
    grams = _grams(_read(text))
    return _winner(grams) if grams else None


@functools.lru_cache(maxsize=1)
def _detector() -> tuple[Any, Mapping[str, list[float]]]:
    """An empty detector of the package, for its constants, and the profiles: n-gram to languages."""
    from langdetect import detector_factory

    detector_factory.init_factory()
    factory = detector_factory._factory
    return factory.create(), factory.word_lang_prob_map


def _read(text: str) -> str:
    """What the detector reads of a text: no addresses, at most 10,000 characters, one script."""
    kept = _SPACES.sub(" ", _beginning(text))
    if kept.isascii():
        return kept
    counts = Counter(kept)
    latin = sum(n for char, n in counts.items() if "A" <= char <= "z")
    other = sum(n for char, n in counts.items() if _not_latin(char))
    return re.sub("[A-z]", "", kept) if latin * 2 < other else kept


def _beginning(text: str) -> str:
    """The first characters without addresses, searched no further than they can reach."""
    from langdetect.utils.ngram import NGram

    detector, _ = _detector()
    length: int = detector.max_text_length
    reach = 3000  # longer than the longest address, so what is cut cannot have changed what is kept
    size = length + reach
    while True:
        plain = detector.MAIL_RE.sub(" ", detector.URL_RE.sub(" ", text[:size]))
        plain = NGram.normalize_vi(plain)
        if size >= len(text) or len(plain) >= length + reach:
            return str(plain[:length])
        size *= 2


@functools.lru_cache(maxsize=1 << 12)
def _not_latin(char: str) -> bool:
    # The package compares a block's number with a name, so that no block is ever the exempt one.
    from langdetect.utils.unicode_block import unicode_block

    return char >= "\u0300" and unicode_block(char) != "Latin Extended Additional"


class _Normalized(dict[int, str]):
    """Code point to the character langdetect reads it as, filled on demand."""

    def __missing__(self, code: int) -> str:
        from langdetect.utils.ngram import NGram

        found = self[code] = str(NGram.normalize(chr(code)))
        return found


_NORMALIZED = _Normalized()


def _grams(text: str) -> list[str]:
    """The known 1-, 2- and 3-grams in order of their last character, none inside words of capitals."""
    *words, last = text.translate(_NORMALIZED).split(" ")
    grams: list[str] = []
    for word in words:
        grams += _short(word) if len(word) < 32 else _word_grams(f" {word} ")
    return grams + _word_grams(f" {last}")


@functools.lru_cache(maxsize=1 << 15)
def _short(word: str) -> list[str]:
    """Text repeats its words; n-grams never reach from one into the next."""
    return _word_grams(f" {word} ")


def _word_grams(chars: str) -> list[str]:
    """The n-grams of one word, led by a space and closed by one unless the text ends there."""
    profiles = _detector()[1]
    if not chars.strip(" "):
        return []
    befores = (_NOTHING, *chars)
    return [
        gram
        for before, last, char in zip(befores, chars, chars[1:], strict=False)
        if not (char.isupper() and last.isupper())
        for gram in (char, last + char, before + last + char)
        if gram in profiles and gram != " "
    ]


def _winner(grams: list[str]) -> str:
    """The language with the highest mean probability over seven trials of random n-grams."""
    detector, _ = _detector()
    draw = random.Random(_SEED)
    trials: int = detector.n_trial
    total = [0.0] * len(detector.langlist)
    for left in range(trials - 1, -1, -1):
        total = [t + p / trials for t, p in zip(total, _trial(grams, draw), strict=True)]
        first, second = sorted(total)[:-3:-1]
        # A trial adds at most 1 / trials to a language, so the others may be out of reach by now.
        if first > detector.PROB_THRESHOLD and first - second > left / trials + 1e-9:
            break
    if max(total) <= detector.PROB_THRESHOLD:
        return str(detector.UNKNOWN_LANG)
    return str(detector.langlist[total.index(max(total))])


def _trial(grams: list[str], draw: random.Random) -> list[float]:
    """Probability of each language after drawing n-grams until one of them is nearly certain.

    The same float operations in the same order as the package's, hence the same bits: each n-gram
    multiplies, and every fifth time the sum is divided out.
    """
    import numpy as np

    detector, _ = _detector()
    weight = (detector.alpha + draw.gauss(0.0, 1.0) * detector.ALPHA_WIDTH) / detector.BASE_FREQ
    chances = np.array(detector._init_probability())
    count, bits = len(grams), len(grams).bit_length()
    for step in range(detector.ITERATION_LIMIT + 5):
        while (at := draw.getrandbits(bits)) >= count:  # what draw.choice(grams) does, inlined
            pass
        chances *= _profile(grams[at]) + weight
        if step % 5 == 0:
            chances /= sum(chances.tolist())
            if chances.max() > detector.CONV_THRESHOLD or step >= detector.ITERATION_LIMIT:
                break
    return cast("list[float]", chances.tolist())


@functools.lru_cache(maxsize=1 << 15)
def _profile(gram: str) -> Any:
    """Frequency of an n-gram in each language, shape (languages,)."""
    import numpy as np

    return np.array(_detector()[1][gram])
