"""Sentences and capital words as IFEval counts them: Punkt for English, then Treebank tokens."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

from ..harness.errors import UsageError
from ..harness.folders import data_root

Splitter: TypeAlias = Callable[[str], list[str]]


@functools.lru_cache(maxsize=1)
def punkt() -> Splitter:
    """The Punkt splitter with NLTK's English parameters.

    Raises:
        UsageError: the parameters are not on this machine.
    """
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

    root = data_root()
    folder = root / "ifeval" / "punkt_tab_english" if root else None
    if folder is None or not folder.is_dir():
        raise UsageError(
            "Punkt parameters are missing; put NLTK's punkt_tab english in WATERBED_DATA/ifeval/punkt_tab_english."
        )
    rows: dict[str, list[list[str]]] = {
        name: [line.split("\t") for line in (folder / name).read_text("utf-8").splitlines() if line]
        for name in (
            "abbrev_types.txt",
            "sent_starters.txt",
            "collocations.tab",
            "ortho_context.tab",
        )
    }
    parameters: Any = PunktParameters()
    parameters.abbrev_types = {row[0] for row in rows["abbrev_types.txt"]}
    parameters.sent_starters = {row[0] for row in rows["sent_starters.txt"]}
    parameters.collocations = {(row[0], row[1]) for row in rows["collocations.tab"]}
    parameters.ortho_context.update((row[0], int(row[1])) for row in rows["ortho_context.tab"])
    tokenizer = PunktSentenceTokenizer(parameters)
    return lambda text: list(tokenizer.tokenize(text))


def capital_words(text: str, splitter: Splitter) -> int:
    """How many Treebank tokens consist of capitals, `I` included."""
    from nltk.tokenize import NLTKWordTokenizer

    words = NLTKWordTokenizer()
    return sum(word.isupper() for sentence in splitter(text) for word in words.tokenize(sentence))
