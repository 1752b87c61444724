"""What can be told of one answer from its text alone: silence, loops, repetition, script, refusal, JSON.

Pure functions on hostile text, in time that does not grow beyond `READ` characters (JSON beyond
`JSON_READ` is not parsed). Not here: languages that share a script (English and French are both
`latin`; no language detector is fast enough for every answer), refusals in other languages than
English or behind a long preface, and whether an answer is right.
"""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Characters of a text that are looked at: a longer one keeps half of them from either end.
READ = 8_000
JSON_READ = 200_000
_GRAM = 4
_LOOP = 8
_OPENING = 160
#: A text with longer words than this on average is read character by character (Chinese, Thai, "aaaa").
_WORD = 30
#: A prompt's template and few-shot words are mostly Latin whatever is asked: so much of another script
#: says what the item is written in.
_ASKED_SHARE = 0.1

_REFUSAL = re.compile(
    r"\s*(?:(?:i'm|i am) (?:\w+ )?(?:sorry|unable|not able)\b(?! to hear)|sorry\b|i apologi[sz]e"
    r"|i (?:can ?not|can't|won't|will not|must decline|decline|refuse)\b|as an ai\b)"
)
_SCRIPTS = (
    *((0x41, 0x5A, "latin"), (0x61, 0x7A, "latin"), (0xC0, 0x24F, "latin")),
    *((0x370, 0x3FF, "greek"), (0x400, 0x52F, "cyrillic"), (0x531, 0x58F, "armenian")),
    *((0x590, 0x5FF, "hebrew"), (0x600, 0x77F, "arabic"), (0x900, 0x97F, "devanagari")),
    *((0x980, 0x9FF, "bengali"), (0xA00, 0xA7F, "gurmukhi"), (0xA80, 0xAFF, "gujarati")),
    *((0xB80, 0xBFF, "tamil"), (0xC00, 0xC7F, "telugu"), (0xC80, 0xCFF, "kannada")),
    *((0xD00, 0xD7F, "malayalam"), (0xE00, 0xE7F, "thai"), (0x10A0, 0x10FF, "georgian")),
    *((0x1100, 0x11FF, "hangul"), (0x1E00, 0x1EFF, "latin"), (0x3041, 0x30FF, "kana")),
    *((0x3400, 0x9FFF, "han"), (0xAC00, 0xD7AF, "hangul"), (0x20000, 0x2FFFF, "han")),
)


class Shape(NamedTuple):
    """What one answer looks like."""

    empty: bool
    loop: bool
    """Some four words in a row occur at least eight times."""
    repetition: float
    """rep-4: 1 - distinct / all runs of four words; 0 for fewer than four words."""
    refusal: bool
    script: str
    """The script of most letters, or `none`."""


def shape(text: str) -> Shape:
    """Look at one answer."""
    read = clip(text)
    loop, repetition = _repetition(read)
    opening = read[:_OPENING].lower().replace("’", "'")
    return Shape(
        not read.strip(), loop, repetition, _REFUSAL.match(opening) is not None, script(read)
    )


def clip(text: str) -> str:
    """The beginning and the end of a text too long to be read whole."""
    half = READ // 2
    return text if len(text) <= READ else text[:half] + text[-half:]


def _repetition(text: str) -> tuple[bool, float]:
    words: Any = text.split()
    if len(text) > _WORD * max(1, len(words)):
        words = text
    total = len(words) - _GRAM + 1
    if total < 1:
        return False, 0.0
    repeated = total - len(set(zip(words, words[1:], words[2:], words[3:], strict=False)))
    if repeated < _LOOP - 1:
        return False, repeated / total
    grams = Counter(zip(words, words[1:], words[2:], words[3:], strict=False))
    return max(grams.values()) >= _LOOP, repeated / total


def script(text: str) -> str:
    """The script of most letters, or `none` for a text without letters."""
    if text.isascii():
        return "latin" if _ASCII_LETTER.search(text) else "none"
    counts = _letters(text)
    return max(counts, key=lambda name: (counts[name], name)) if counts else "none"


def asked_script(prompt: str) -> str:
    """The script an item is written in: another than Latin if a tenth of the letters belong to it."""
    if prompt.isascii():
        return script(prompt)
    counts = _letters(clip(prompt))
    others = {name: n for name, n in counts.items() if name != "latin"}
    most = max(others, key=lambda name: (others[name], name), default="latin")
    return most if others.get(most, 0) >= _ASKED_SHARE * max(1, sum(counts.values())) else "latin"


_ASCII_LETTER = re.compile(r"[A-Za-z]")


def _letters(text: str) -> dict[str, int]:
    """Letters by script; Japanese is called by its kana."""
    import numpy as np

    starts, ends, names = _edges()
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    at = np.searchsorted(starts, points, side="right") - 1
    inside = (at >= 0) & (points <= ends[at])
    counts: Counter[str] = Counter()
    for index, n in enumerate(np.bincount(at[inside], minlength=len(names)).tolist()):
        if n:
            counts[names[index]] += n
    if counts["kana"] * 10 >= counts["han"] > 0:
        counts["kana"] += counts.pop("han")
    return {name: n for name, n in counts.items() if n}


@functools.lru_cache(maxsize=1)
def _edges() -> tuple[NDArray[np.uint32], NDArray[np.uint32], list[str]]:
    import numpy as np

    starts, ends, names = zip(*_SCRIPTS, strict=True)
    return np.array(starts, dtype=np.uint32), np.array(ends, dtype=np.uint32), list(names)


def is_json(text: str) -> bool:
    """Whether a text is one JSON object or array, bare, in a code fence or in `<tool_call>` tags."""
    if len(text) > JSON_READ:
        return False
    body = _unwrapped(text)
    if body[:1] not in ("{", "["):
        return False
    try:
        json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def broken_json(text: str) -> bool:
    """Whether a text tries to be JSON, as far as a brace tells, and is not."""
    return ("{" in text or "[" in text) and not is_json(text)


def _unwrapped(text: str) -> str:
    body = text.strip()
    if body.startswith("```") and body.endswith("```"):
        body = body[3:-3].removeprefix("json").strip()
    return body.removeprefix("<tool_call>").removesuffix("</tool_call>").strip()


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
