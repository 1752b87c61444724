"""From requests to text and from text to token ids, by the checkpoint's own tokenizer and template.

A chat is rendered by the template and tokenized without special tokens, since the template has put
them there; raw text is tokenized with the tokenizer's own. Continuations follow lm-eval's rule, so
that log-probabilities can be compared with published ones. Not here: the model.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import Any

from ..errors import UsageError
from ..records import Choose, Generate, Message, Request

#: What templates that print today's date are told, so that a prompt does not change overnight
#: (the date that Llama 3.1's template itself falls back to).
TEMPLATE_DATE = (2024, 7, 26)


def _frozen_date(pattern: str) -> str:
    from datetime import datetime

    return datetime(*TEMPLATE_DATE).strftime(pattern)  # noqa: DTZ001


def _for_template(message: Message) -> dict[str, Any]:
    """A turn as templates want it: the arguments of a call as an object, where they are one."""
    shown = message.as_dict()
    for call in shown.get("tool_calls", ()):
        with contextlib.suppress(ValueError, RecursionError):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return shown


class Prompts:
    """Renders and tokenizes for one checkpoint."""

    def __init__(self, tokenizer: Any, name: str) -> None:
        self.tokenizer = tokenizer
        self.name = name
        # A tokenizer left in its training settings ends texts with eos: nothing would follow.
        ids = tokenizer("a")["input_ids"]
        spoken = [i for i, token in enumerate(ids) if token not in tokenizer.all_special_ids]
        self.appended = len(ids) - 1 - spoken[-1] if spoken else 0

    def render(self, request: Request) -> str:
        """The exact text the model will see.

        Raises:
            UsageError: no template for a chat, a chat its template refuses, or no model request.
        """
        if not isinstance(request, Generate | Choose):
            raise UsageError(
                f"A model cannot answer {type(request).__name__}; give role '{request.role}' a backend."
            )
        if isinstance(request.prompt, str):
            return request.prompt
        if not self.tokenizer.chat_template:
            raise UsageError(
                f"'{self.name}' has no chat template, which chat tasks need; pass a checkpoint with a "
                "chat template, or choose completion tasks."
            )
        messages = [_for_template(m) for m in request.prompt]
        tools = list(request.tools) if isinstance(request, Generate) else []
        try:
            text = self.tokenizer.apply_chat_template(
                messages,
                tools=tools or None,
                tokenize=False,
                add_generation_prompt=True,
                strftime_now=_frozen_date,
            )
        except Exception as error:  # a template is code from outside: it may raise anything
            roles = ", ".join(m["role"] for m in messages)
            raise UsageError(
                f"The chat template of '{self.name}' refuses a chat of roles [{roles}] ({error}); "
                "use a template that accepts them."
            ) from error
        return str(text)

    def encode(self, texts: Sequence[str], chat: bool) -> list[list[int]]:
        """Token ids of each text; an empty text becomes the token that starts a text."""
        if not texts:
            return []
        ids = self.tokenizer(
            list(texts), add_special_tokens=not chat, return_attention_mask=False, verbose=False
        )["input_ids"]
        drop = 0 if chat else self.appended
        return [list(row[: len(row) - drop]) or self._start() for row in ids]

    def _start(self) -> list[int]:
        for token in (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id):
            if token is not None:
                return [int(token)]
        return [0]

    def continuations(
        self, prompt: str, choices: Sequence[str], chat: bool
    ) -> tuple[list[int], list[list[int]]]:
        """Token ids of the prompt, and those each choice adds to it.

        Trailing spaces of the prompt move to the choices, and a choice's tokens are those of prompt
        and choice together beyond the prompt's (lm-eval 0.4, `TemplateLM._encode_pair`). A choice
        that only lengthens the prompt's last token is encoded on its own.
        """
        stem = prompt.rstrip()
        tails = [prompt[len(stem) :] + choice for choice in choices]
        if not stem:
            start = self._start()
            return start, self.encode(tails, chat=True)
        head, *wholes = self.encode([stem, *(stem + tail for tail in tails)], chat)
        added = [whole[len(head) :] for whole in wholes]
        alone = [i for i, ids in enumerate(added) if not ids]
        for i, ids in zip(alone, self.encode([tails[i] for i in alone], chat=True), strict=True):
            added[i] = ids
        return head, added
