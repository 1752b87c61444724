"""Sentences and capital words as IFEval counts them.

Sentences: Punkt (Kiss and Strunk 2006, Computational Linguistics 32:4) with the English parameters NLTK
ships, written anew so that the scorer's version decides, not the NLTK on a machine: the sentences of
NLTK 3.10's PunktSentenceTokenizer, in linear time (but for the control characters 1C to 1F, which
are white space here as in older NLTK). Capital words: NLTK's
Treebank tokens that consist of capitals; NLTK is only asked where a plain reading cannot settle it.

Not here: training Punkt, other languages, token positions.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ..harness.errors import DataError, UsageError
from ..harness.folders import data_root

Splitter: TypeAlias = Callable[[str], list[str]]

#: NLTK's punkt_tab/english: the parameters the reference verdicts were made with.
_SHA256 = {
    "abbrev_types.txt": "92a3e070f43d9b4c5534758ca40ad7343b04e7e29bfe0c2eb658a39445a4f779",
    "collocations.tab": "8e2da1225e4dd2cc9dba261ee231ccb134859e21b46006e7f472c5ee269af0cf",
    "ortho_context.tab": "4bbcca25ed3d3f06c02402abf8419b9f033b8adc06e7b482eca4e45f81a5dc4c",
    "sent_starters.txt": "f3f8535483e1dba487241b764945168123bca3209a9645e59acd1225dc76edac",
}

# Where a word was seen, as bits of the orthographic context (Kiss and Strunk 2006, section 4.1.1).
_MIDDLE_UPPER = 1 << 2
_UPPER = 1 << 1 | 1 << 2 | 1 << 3
_BEGIN_LOWER = 1 << 4
_LOWER = 1 << 4 | 1 << 5 | 1 << 6

_CLOSERS = "\"')\\]}\u2018\u2019\u201c\u201d\u00ab\u00bb"
_OUTSIDE = f"[{_CLOSERS};*:@({{\\[?!]"
"""What cannot be inside a word."""
_MARKS = r"-{2,}|\.{2,}|(?:\.\s){2,}\."
_END = re.compile(rf"[.?!](?=({_OUTSIDE}|\s+(\S+)))")
_TOKEN = re.compile(
    rf"{_MARKS}|[^\s(\"`{{\[:;&#*@)}}\]\-,]\S*?(?=\s|$|{_OUTSIDE}|{_MARKS}|,(?:$|\s|{_OUTSIDE}|{_MARKS}))|\S"
)
_CLOSING = re.compile(rf"[{_CLOSERS}]+(?:\s+|(?=--)|$)", re.MULTILINE)
_BLANK = " \t\n\r\x0b\x0c"
_NUMBER = re.compile(r"-?[.,]?\d[\d,.-]*")
_INITIAL = re.compile(r"[^\W\d]\.")


@dataclass(frozen=True, slots=True)
class Parameters:
    """What Punkt learned about a language; words are lower case, numbers are `##number##`."""

    abbreviations: frozenset[str]
    starters: frozenset[str]
    collocations: frozenset[tuple[str, str]]
    contexts: dict[str, int]


@functools.lru_cache(maxsize=1)
def punkt() -> Splitter:
    """The splitter with NLTK's English parameters, from WATERBED_DATA or an installed NLTK.

    Raises:
        UsageError: the parameters are not on this machine.
        DataError: they are others than those the reference verdicts were made with.
    """
    files = {name: _read(_folder() / name, digest) for name, digest in _SHA256.items()}
    pairs = [line.split("\t") for line in files["collocations.tab"]]
    contexts = [line.split("\t") for line in files["ortho_context.tab"]]
    parameters = Parameters(
        frozenset(files["abbrev_types.txt"]),
        frozenset(files["sent_starters.txt"]),
        frozenset((first, second) for first, second in pairs),
        {word: int(bits) for word, bits in contexts},
    )
    return Punkt(parameters).sentences


def _folder() -> Path:
    root = data_root()
    own = root / "ifeval" / "punkt_tab_english" if root else None
    if own and own.is_dir():
        return own
    from nltk.data import find

    try:
        return Path(str(find("tokenizers/punkt_tab/english/")))
    except LookupError:
        raise UsageError(
            "IFEval needs NLTK's Punkt parameters for English and finds none; run `python -m nltk.downloader "
            "punkt_tab`, put them in WATERBED_DATA/ifeval/punkt_tab_english, or use ifeval-nopunkt (or "
            "ifeval-fresh-nopunkt)."
        ) from None


def _read(file: Path, digest: str) -> list[str]:
    content = file.read_bytes() if file.is_file() else b""
    if hashlib.sha256(content).hexdigest() != digest:
        raise DataError(
            f"'{file}' is missing or not the file IFEval's verdicts were made with; get punkt_tab again."
        )
    return content.decode("utf-8").split("\n")[:-1]


class Punkt:
    """Splits English text into sentences."""

    def __init__(self, parameters: Parameters) -> None:
        self._known = parameters
        self._short_context_breaks = functools.lru_cache(maxsize=1 << 14)(self._breaks)

    def sentences(self, text: str) -> list[str]:
        """The sentences of `text`; closing quotes and brackets belong to the sentence they close."""
        return [text[start:stop] for start, stop in _realigned(text, self._pieces(text))]

    def _pieces(self, text: str) -> Iterator[tuple[int, int]]:
        start = 0
        for end, context, following in _candidates(text):
            breaks = self._short_context_breaks if len(context) < 80 else self._breaks
            if breaks(context):
                yield start, end
                start = following
        yield start, len(text.rstrip())

    def _breaks(self, context: str) -> bool:
        """Whether a token of the context ends a sentence and another follows."""
        tokens = [token for line in context.split("\n") for token in _TOKEN.findall(line)]
        return any(self._ends(*pair) for pair in itertools.pairwise(tokens))

    def _ends(self, token: str, following: str) -> bool:
        """Whether a sentence ends with `token` (sections 4.1 to 4.3 of the paper, in that order)."""
        if not token.endswith("."):
            return token in ("?", "!")
        kind, next_kind = _bare(_kind(token)), self._kind_of_next(following)
        initial = _INITIAL.fullmatch(token) is not None
        if (kind, next_kind) in self._known.collocations:
            return False
        starts = self._starts(following, next_kind)
        ends, doubtful = self._first_guess(token)
        if doubtful and not initial:
            ends = starts is True or (following[0].isupper() and next_kind in self._known.starters)
            if ends:
                return True
        if initial or kind == "##number##":
            never_lower = not self._known.contexts.get(next_kind, 0) & _LOWER
            unknown_name = starts is None and initial and following[0].isupper() and never_lower
            if starts is False or unknown_name:
                return False
        return ends

    def _first_guess(self, token: str) -> tuple[bool, bool]:
        """By its form alone: does `token` end a sentence, and is it an abbreviation or ellipsis?"""
        if token == ".":
            return True, False
        if token.endswith(".."):
            return False, token.startswith("..")
        word = token[:-1].lower()
        known = self._known.abbreviations
        short = word in known or word.rpartition("-")[2] in known
        return not short, short

    def _kind_of_next(self, token: str) -> str:
        kind = _kind(token)
        ends = token.endswith(".") and self._first_guess(token)[0]
        return _bare(kind) if ends else kind

    def _starts(self, token: str, kind: str) -> bool | None:
        """Whether a sentence starts with `token`, by how the word is usually written; None: unsure."""
        if token in (";", ":", ",", ".", "!", "?"):
            return False
        seen = self._known.contexts.get(kind, 0)
        if token[0].isupper() and seen & _LOWER and not seen & _MIDDLE_UPPER:
            return True
        if token[0].islower() and (seen & _UPPER or not seen & _BEGIN_LOWER):
            return False
        return None


def _kind(token: str) -> str:
    lower = token.lower()
    return "##number##" if _NUMBER.fullmatch(lower) else lower


def _bare(kind: str) -> str:
    return kind[:-1] if len(kind) > 1 and kind.endswith(".") else kind


def _candidates(text: str) -> Iterator[tuple[int, str, int]]:
    """Where a sentence may end: (end, the word before to the token after, start of what follows).

    Of several candidates in one word only the last is asked about, with the whole word.
    """
    begin, before, last = 0, 0, None
    for match in _END.finditer(text):
        at = match.start()
        blank = _last_blank(text, before, at)
        start = blank + 1 if blank > before else begin
        if last is not None and before <= start:
            yield _candidate(text, begin, last)
        begin, before, last = start, at, match
    if last is not None:
        yield _candidate(text, begin, last)


def _last_blank(text: str, start: int, stop: int) -> int:
    """Index of the last white space in text[start:stop], or -1."""
    for at in range(stop - 1, start - 1, -1):
        if text[at] in _BLANK:
            return at
    return -1


def _candidate(text: str, begin: int, match: re.Match[str]) -> tuple[int, str, int]:
    following = match.start(2) if match[2] else match.end()
    return match.end(), text[begin : match.start()] + match[0] + match[1], following


def _realigned(text: str, pieces: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Move quotes and brackets that open a piece to the end of the one before."""
    start, stop = next(pieces)
    for next_start, next_stop in pieces:
        closing = _CLOSING.match(text, next_start, next_stop)
        if closing:
            yield start, next_start + len(closing[0].rstrip())
            start = closing.end()
        else:
            if start < stop:
                yield start, stop
            start = next_start
        stop = next_stop
    if start < stop:
        yield start, stop


def plain_sentences(text: str) -> list[str]:
    """Sentences without Punkt, for `ifeval-nopunkt`: any run of . ? ! before white space ends one.

    Closing quotes and brackets may stand between. Abbreviations ("Dr. No") are split, which Punkt
    would not do, so counts differ from the official ones.
    """
    ends = [match.end() for match in re.finditer(rf"[.?!][{_CLOSERS}]*\s+", text)]
    pieces = [text[start:end].strip() for start, end in itertools.pairwise((0, *ends, len(text)))]
    return [piece for piece in pieces if piece]


_WORD = re.compile("[A-Za-z0-9]+[.,:;?!]?")
_RUN = re.compile("[A-Za-z0-9]+")
_CONTRACTIONS = frozenset(("cannot", "gimme", "gonna", "gotta", "lemme", "wanna"))
_LONG_BLANK = re.compile(r"\s{9,}")


def capital_words(text: str, splitter: Splitter) -> int:
    """How many Treebank tokens of `text` consist of capitals (digits and marks aside), `I` included."""
    return sum(map(_capitals, splitter(text)))


def _capitals(sentence: str) -> int:
    """Plain words are counted as they stand; one that is not plain needs all of Treebank's rules."""
    count = 0
    for word in filter(_has_capital, sentence.split()):
        found = _plain(word)
        if found is None:
            return sum(token.isupper() for token in _treebank(sentence))
        count += found
    return count


def _plain(word: str) -> int | None:
    """How many capital tokens a word with a capital holds, where that is plain to see; else None.

    Without an apostrophe Treebank divides words at marks only, the contractions apart, so that a run
    of letters and digits stays whole, and a token with a run that is not all capitals is none.
    """
    runs = _RUN.findall(word)
    if not word.isascii() or "'" in word or any(run.lower() in _CONTRACTIONS for run in runs):
        return None
    if not any(map(str.isupper, runs)):
        return 0
    return 1 if _WORD.fullmatch(word) else None


def _has_capital(word: str) -> bool:
    return word != word.lower() if word.isascii() else any(map(str.isupper, word))


def _treebank(sentence: str) -> list[str]:
    # Older NLTK versions take quadratic time on a long run of blanks, whose length changes no token.
    tokens: list[str] = _treebank_tokenizer()(_LONG_BLANK.sub(" ", sentence))
    return tokens


@functools.lru_cache(maxsize=1)
def _treebank_tokenizer() -> Callable[[str], list[str]]:
    from nltk.tokenize import NLTKWordTokenizer

    tokenize: Callable[[str], list[str]] = NLTKWordTokenizer().tokenize
    return tokenize
