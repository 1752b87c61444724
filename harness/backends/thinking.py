"""Where a model's thinking ends and its answer begins.

Knows the `<think> ... </think>` convention, also where the chat template has already opened the block
in the prompt. Not here: other conventions (channels, harmony), which a backend that speaks them strips.
"""

from __future__ import annotations

OPEN, CLOSE = "<think>", "</think>"


def opens_thinking(rendered: str) -> bool:
    """Whether the prompt itself ends inside an open thinking block."""
    return rendered.rstrip().endswith(OPEN)


def answer_start(text: str, opened: bool = False) -> int | None:
    """Index of the first character after the thinking block; None while the block is open.

    Only a block that the answer starts with counts, or a close that nothing has opened.
    """
    close = text.find(CLOSE)
    if opened or text.lstrip().startswith(OPEN):
        return None if close < 0 else close + len(CLOSE)
    if close < 0 or 0 <= text.find(OPEN) < close:
        return 0
    return close + len(CLOSE)


def split_thinking(text: str, opened: bool = False) -> tuple[str | None, str]:
    """(thinking, answer). Thinking that never closed leaves an empty answer."""
    start = answer_start(text, opened)
    if start == 0:
        return None, text
    thought = text if start is None else text[: start - len(CLOSE)]
    answer = "" if start is None else text[start:].lstrip()
    return thought.strip().removeprefix(OPEN).strip(), answer
