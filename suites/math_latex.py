r"""LaTeX of a short answer to plain text: `\frac{\pi}{2}` becomes `π/2`, `\sqrt{3}` becomes `√(3)`.

The rules are those of pylatexenc 2.10's `latex_to_text` with its default settings, because the
prm800k grader reads answers through it, oddities included: the index of `\sqrt[3]{x}` is dropped,
`\mbox{9}` vanishes, `\mathbb{R}` becomes one character, stray closing braces are ignored. One pass,
linear in the length, at most 100 groups deep.

Not here: comments and `$` (the grader removes both signs before), `\verb`, citations, Cyrillic, and
commands of layout; an unknown command gives nothing and leaves its groups, as in the original.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .math_symbols import (
    ACCENTS,
    ARGUMENTS,
    MATHS_ENVIRONMENTS,
    MATRICES,
    STYLES,
    SYMBOLS,
    TEMPLATES,
)

#: Groups and environments inside one another; answers of benchmarks have fewer than ten.
DEEPEST = 100

_PLAIN = re.compile(r"[^\\{}\[\]&~`'\-!?]+")
_SPECIAL = re.compile(r"---|--|``|''|!`|\?`|~|&")
_SPECIALS = {
    "---": "—",
    "--": "–",
    "``": "“",
    "''": "”",
    "!`": "¡",
    "?`": "¿",
    "~": "\u00a0",
    "&": "   ",
}
#: Stands where a root has no argument; an error unless a command around it drops its contents.
_LACKING = "\x00"
_SPACE = re.compile(r"\s*")
_ENVIRONMENT = re.compile(r"\s*\{([\w* ._-]+)\}")
_OPENING = {"(": ")", "[": "]"}


Kind: TypeAlias = Literal["chars", "bare", "cell", "row", "other"]
#: What a step of the reader met: plain text, something else, or the end of the stretch.
Step: TypeAlias = Literal["text", "read", "end"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text and what it came from."""

    kind: Kind
    text: str
    space: str = ""
    """White space after a command without arguments."""


class End(Exception):
    """The source ended where an argument was due."""


def latex_to_text(source: str) -> str:
    """The plain text of LaTeX.

    Raises:
        ValueError: nested deeper than `DEEPEST`, an empty matrix, or a root without its argument.
    """
    reader = _Reader(source)
    text = reader.joined(reader.pieces())
    if _LACKING in text:
        raise ValueError("a command lacks its argument")
    return text


class _Reader:
    """Reads the source once, from left to right; `maths` is whether \\( or \\[ is open."""

    def __init__(self, source: str) -> None:
        self.source, self.at = source, 0
        self.depth, self.maths = 0, False

    def joined(self, pieces: Sequence[Piece]) -> str:
        """One text; inside maths, blank stretches vanish and space after a command stays."""
        out: list[str] = []
        last: Piece | None = None
        for piece in pieces:
            if self.maths and piece.kind == "chars":
                if last is not None and last.kind == "bare":
                    out.append(last.space)
                out.append(piece.text if piece.text.strip() else "")
            else:
                out.append(piece.text)
            last = piece
        return "".join(out)

    def pieces(self, closing: str = "") -> list[Piece]:
        r"""Everything up to `closing` (`}`, `]`, `\)`, `\]`, `\end{name}`) or the end.

        A closing sign of another kind is dropped.
        """
        self.depth += 1
        if self.depth > DEEPEST:
            raise ValueError(f"groups are nested more than {DEEPEST} deep")
        found: list[Piece] = []
        start = self.at
        step: Step = "text"
        while self.at < len(self.source) and step != "end":
            here = self.at
            read: list[Piece] = []
            step = self._step(read, closing)
            if step != "text":
                if here > start:
                    found.append(Piece("chars", self.source[start:here]))
                found += read
                start = self.at
        if self.at > start:
            found.append(Piece("chars", self.source[start : self.at]))
        self.depth -= 1
        return found

    def _step(self, read: list[Piece], closing: str) -> Step:
        """Pass over plain text, or read one thing that is not."""
        if run := _PLAIN.match(self.source, self.at):
            self.at = run.end()
            return "text"
        sign = self.source[self.at]
        if sign == "\\":
            return self._command(read, closing)
        if special := _SPECIAL.match(self.source, self.at):
            self.at = special.end()
            read.append(Piece("cell" if sign == "&" else "other", _SPECIALS[special[0]]))
            return "read"
        self.at += 1
        if sign not in "{}" and not (closing == "]" and sign in "[]"):
            return "text"
        if sign in "{[":
            read.append(Piece("other", self._group("}" if sign == "{" else "]")))
        return "end" if sign == closing else "read"

    def _group(self, closing: str) -> str:
        return self.joined(self.pieces(closing))

    def _name(self) -> str:
        """The name of the command whose backslash is next; the place moves behind it."""
        start = end = self.at + 1
        while end < len(self.source) and self.source[end].isalpha():
            end += 1
        self.at = max(end, start + 1)
        return self.source[start : self.at]

    def _blank(self) -> str:
        """White space up to the next sign, or up to an empty line."""
        found = _SPACE.match(self.source, self.at)
        blank = found[0] if found else ""
        self.at += len(blank)
        if "\n\n" in blank:
            self.at -= len(blank) - blank.index("\n\n")
            return blank[: blank.index("\n\n")]
        return blank

    def _command(self, read: list[Piece], closing: str) -> Step:
        """Read one command; a `\\begin` or `\\end` without a name is plain text."""
        if self.at + 1 == len(self.source):
            self.at += 1
            return "end"
        name = self._name()
        if name in ("(", "[", ")", "]"):
            return self._maths(read, name, closing)
        if name in ("begin", "end"):
            environment = _ENVIRONMENT.match(self.source, self.at)
            if not environment:
                return "text"
            self.at = environment.end()
            if name == "begin":
                read.append(Piece("other", self._environment(environment[1])))
            return "end" if name == "end" and closing == f"\\end{{{environment[1]}}}" else "read"
        space = self._blank() if name[0].isalpha() else ""
        arguments = self._arguments(ARGUMENTS.get(name, ""))
        kind: Kind = "row" if name == "\\" else "other" if arguments else "bare"
        read.append(Piece(kind, _rendered(name, arguments), space))
        return "read"

    def _maths(self, read: list[Piece], name: str, closing: str) -> Step:
        if name not in _OPENING:
            return "end" if closing == f"\\{name}" else "read"
        outside, self.maths = self.maths, True
        content = self._group(f"\\{_OPENING[name]}").strip()
        self.maths = outside
        read.append(Piece("other", content if name == "(" else _block(content)))
        return "read"

    def _environment(self, name: str) -> str:
        outside = self.maths
        if name == "array":
            self._arguments("[{")
        self.maths = outside or name in MATHS_ENVIRONMENTS
        pieces = self.pieces(f"\\end{{{name}}}")
        text = self._matrix(pieces) if name in MATRICES else self.joined(pieces)
        self.maths = outside
        return _block(text.strip()) if name in MATHS_ENVIRONMENTS else text

    def _matrix(self, pieces: Sequence[Piece]) -> str:
        """`[ a b; c d ]`, every cell as wide as the widest."""
        rows: list[list[str]] = [[]]
        cell: list[Piece] = []
        for piece in (*pieces, Piece("cell", "")):
            if piece.kind in ("cell", "row"):
                rows[-1] += [self.joined(cell).strip()] if cell else []
                cell = []
            else:
                cell.append(piece)
            if piece.kind == "row":
                rows.append([])
        wide = max((len(text) for row in rows for text in row), default=None)
        if wide is None:
            raise ValueError("a matrix has no cells")
        return "[ " + "; ".join(" ".join(text.rjust(wide) for text in row) for row in rows) + " ]"

    def _arguments(self, kinds: str) -> list[str] | None:
        """Arguments by kind (`{` needed, `[` optional, `*` a star); None where the source ends."""
        start = self.at
        read: dict[str, Callable[[], str]] = {
            "{": self._expression,
            "[": self._optional,
            "|": lambda: self._optional() if self.source.startswith("[", self.at) else "",
            "*": self._star,
        }
        try:
            return [read[kind]() for kind in kinds]
        except End:
            self.at = start
            return None

    def _expression(self) -> str:
        """One group, one command without its arguments, or one sign."""
        self._blank()
        if self.source.startswith("\n\n", self.at):
            self.at += 2
            return "" if self.maths else "\n\n"
        if self.at + self.source.startswith("\\", self.at) >= len(self.source):
            raise End
        sign, here = self.source[self.at], self.at
        if sign == "\\":
            name = self._name()
            if name == "end":
                self.at = here
                return ""
            if name[0].isalpha():
                self._blank()
            return "" if name in ("(", "[", ")", "]", "begin") else _rendered(name, None)
        if sign == "}":
            return ""
        special = _SPECIAL.match(self.source, self.at)
        self.at = special.end() if special else self.at + 1
        if sign == "{":
            return self._group("}")
        return _SPECIALS[special[0]] if special else sign

    def _optional(self) -> str:
        here = self.at
        self._blank()
        if not self.source.startswith("[", self.at):
            self.at = here
            return ""
        self.at += 1
        return self._group("]")

    def _star(self) -> str:
        here = self.at
        self._blank()
        if self.at >= len(self.source):
            raise End
        if not self.source.startswith("*", self.at):
            self.at = here
            return ""
        self.at += 1
        return "*"


def _block(text: str) -> str:
    """Displayed maths, on lines of its own."""
    return "\n    " + text.replace("\n", "\n    ") + "\n"


def _rendered(name: str, arguments: Sequence[str] | None) -> str:
    """The text of one command; `arguments` None where it got none although it may need some."""
    if name in SYMBOLS:
        return SYMBOLS[name]
    given = arguments or ()
    if name in STYLES:
        return "".join(given).translate(STYLES[name])
    if name in ACCENTS:
        base = given[0].strip().replace("ı", "i").replace("ȷ", "j") if given else " "
        return "".join(unicodedata.normalize("NFC", sign + ACCENTS[name]) for sign in base)
    template = TEMPLATES.get(name, "")
    if not given:
        if name in ("sqrt", "textcolor", "colorbox"):
            return _LACKING
        return "" if template == "{0}" else template.replace("{}", "%s")
    return template.format(*given)
