"""From token ids to text, and where a stop string ends the answer.

Stop strings are found in the text, so one that is split over tokens counts. Only tokens that hold the
last character of a stop string are looked at closely, which makes the search nearly free. Nothing
here knows the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .thinking import CLOSE, OPEN, answer_start

#: A stop string is looked for in this many tokens more than it has bytes: a token may be silent.
SPARE_TOKENS = 8


class Speech:
    """Turns token ids into text. Special tokens are silent, thinking tags and `spoken` ones are not."""

    def __init__(self, tokenizer: Any, spoken: Sequence[str] = ()) -> None:
        self.tokenizer = tokenizer
        special = dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True))
        special |= {i: str(t) for i, t in tokenizer.added_tokens_decoder.items() if t.special}
        self.silent = frozenset(
            i for i, token in special.items() if token not in (OPEN, CLOSE, *spoken)
        )

    def text(self, tokens: Sequence[int]) -> str:
        """The text of these tokens, decoded together: characters that span tokens come out whole."""
        spoken = [t for t in tokens if t not in self.silent]
        return str(self.tokenizer.decode(spoken, skip_special_tokens=False))


class Stops:
    """Finds the first of some stop strings in a growing answer."""

    def __init__(self, speech: Speech, strings: tuple[str, ...]) -> None:
        self.speech = speech
        self.strings = tuple(s for s in strings if s)
        self.last_characters = {s[-1] for s in self.strings}
        self.window = SPARE_TOKENS + max((len(s.encode()) for s in self.strings), default=0)
        self._may_end: dict[int, bool] = {}

    def find(self, tokens: Sequence[int], opened: bool) -> int | None:
        """Index in the text of `tokens` at which the answer ends, or None.

        Args:
            tokens: everything generated so far; the last one is new since the last call.
            opened: the prompt ended inside a thinking block. Thinking is never cut.
        """
        if not self.strings or not self._ends_one(tokens[-1]):
            return None
        recent = self.speech.text(tokens[-self.window :])
        if not any(s in recent for s in self.strings):
            return None
        text = self.speech.text(tokens)
        start = answer_start(text, opened)
        if start is None:
            return None
        found = [at for s in self.strings if (at := text.find(s, start)) >= 0]
        return min(found, default=None)

    def _ends_one(self, token: int) -> bool:
        """Whether a stop string can be complete once this token is there."""
        known = self._may_end.get(token)
        if known is None:
            # Three in a row show a leading space; bytes of a longer character show as U+FFFD.
            said = self.speech.text([token] * 3)
            known = "\ufffd" in said or any(c in said for c in self.last_characters)
            self._may_end[token] = known
        return known
