"""Text that others wrote, made safe to look at: what a model, a data file or a label may contain.

Does: makes control, bidirectional and invisible characters and lone surrogates visible, cuts long
texts in the middle and says so. Does NOT escape HTML (the templates do, always), Markdown or XML
(ci.py does), and does not hide anything.
"""

from __future__ import annotations

from dataclasses import dataclass

_KEPT = {"\n", "\t"}
_BIDI = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_INVISIBLE = (0x00AD, 0x200B, 0x2028, 0x2029, 0x2060, 0xFEFF, 0xFFFE, 0xFFFF)
_NAMED = (
    *range(0x80, 0xA0),
    *_BIDI,
    *_INVISIBLE,
    *range(0xD800, 0xE000),
    *range(0xE0000, 0xE0080),
)
#: Control characters become their Unicode pictures, everything else its code point in brackets.
_PICTURES = {
    **{c: chr(0x2400 + c) for c in range(0x20) if chr(c) not in _KEPT},
    0x7F: "\u2421",
    **{c: f"⟨U+{c:04X}⟩" for c in _NAMED},
}


def visible(text: str) -> str:
    """The text with every character that could deceive a reader replaced by a mark of it."""
    return text if text.isascii() and text.isprintable() else text.translate(_PICTURES)


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A text, or its two ends. `note` is empty where nothing was cut."""

    head: str
    tail: str
    characters: int
    """Length of the whole text."""
    cut: bool

    @property
    def note(self) -> str:
        """What stands between the ends."""
        return f"cut, {self.characters:,} characters in the Run" if self.cut else ""


def excerpt(text: str, limit: int) -> Excerpt:
    """The text if it has at most `limit` characters, else its beginning and its end.

    Two thirds go to the beginning; the end is kept because answers usually stand there.
    """
    head = max(1, limit * 2 // 3)
    if len(text) <= limit:
        return Excerpt(visible(text[:head]), visible(text[head:]), len(text), False)
    tail = limit - head
    return Excerpt(visible(text[:head]), visible(text[len(text) - tail :]), len(text), True)
