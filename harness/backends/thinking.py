"""Where a model's thinking ends and its answer begins, and how a budget ends it.

Knows the `<think> ... </think>` convention, also where the chat template has already opened the block
in the prompt. Budget forcing: once the budget is spent, the end marker is written for the model, which
then answers (Muennighoff et al. 2025, arXiv 2501.19393, section 3.1). Not here: other conventions
(channels, harmony), which a backend that speaks them strips.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..errors import UsageError

OPEN, CLOSE = "<think>", "</think>"
#: The end marker in the source of a template, where a line break is often written as backslash and n.
_MARKER = re.compile(rf"((?:\\n|\n)*){CLOSE}((?:\\n|\n)*)")


def opens_thinking(rendered: str) -> bool:
    """Whether the prompt itself ends inside an open thinking block."""
    return rendered.rstrip().endswith(OPEN)


def answer_start(text: str, opened: bool = False) -> int | None:
    """Index of the first character of the answer; None while the thinking block is open.

    Only a block that the answer starts with counts, or a close that nothing has opened.
    """
    close = text.find(CLOSE)
    if opened or text.lstrip().startswith(OPEN):
        return None if close < 0 else _after(text, close)
    if close < 0 or 0 <= text.find(OPEN) < close:
        return 0
    return _after(text, close)


def _after(text: str, close: int) -> int:
    rest = text[close + len(CLOSE) :]
    return len(text) - len(rest.lstrip())


def split_thinking(text: str, opened: bool = False) -> tuple[str | None, str]:
    """(thinking, answer). Thinking that never closed leaves an empty answer."""
    start = answer_start(text, opened)
    if start == 0:
        return None, text
    thought, answer = (text, "") if start is None else (text[: text.find(CLOSE)], text[start:])
    return thought.strip().removeprefix(OPEN).strip(), answer


def end_marker(template: object) -> str | None:
    """How a chat template ends thinking, with its line breaks; None where it knows no thinking.

    Of several ways the longest: the short ones are where templates look for the marker.
    """
    if not isinstance(template, str) or CLOSE not in template:
        return CLOSE if isinstance(template, str) and OPEN in template else None
    found = (before + CLOSE + after for before, after in _MARKER.findall(template))
    return str(max(found, key=len)).replace("\\n", "\n")


def no_thinking(name: str) -> UsageError:
    """The error for a budget where there is nothing to spend it on."""
    return UsageError(
        f"'{name}' has no thinking markers ({OPEN}, {CLOSE}) in its chat template, so a thinking budget "
        "means nothing; leave out --thinking-budget."
    )


@dataclass(slots=True)
class Budget:
    """Ends one answer's thinking when its tokens are spent."""

    tokens: int
    """Most tokens of thinking; the opening marker counts where the model writes it."""
    marker: Sequence[int]
    """Token ids that end the thinking."""
    spent: bool = False
    """Whether the thinking was ended from here."""
    left: list[int] = field(default_factory=list)
    """Tokens of the marker that are still to be written."""
    watching: bool = True

    def over(self, generated: int) -> bool:
        """Whether it must be looked up if the model is still thinking."""
        return self.watching and generated >= self.tokens

    def look(self, text: str, opened: bool) -> None:
        """Decide, from all that was generated, whether the marker is to be written."""
        begun = text.lstrip()
        if answer_start(text, opened) is None:
            self.left = list(self.marker)
            self.spent, self.watching = True, False
        elif begun and not OPEN.startswith(begun):
            self.watching = False  # it thinks no more, or never did
