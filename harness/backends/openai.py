"""Answers over an OpenAI-compatible HTTP server: vLLM, SGLang, llama.cpp, or a provider's API.

Chats go to `/chat/completions`, raw text to `/completions`. Alternatives (`Choose`) need a server that
gives log-probabilities: of the prompt's own tokens (`echo`), for chats also `/tokenize` to learn what
the template makes of them (vLLM has both); elsewhere those of the first answered token, where every
alternative must begin with a token of its own among the likeliest. Retries and the number of requests
under way are endpoint.py's, keys are keys.py's. Not here: starting a server; what tokens cost (cost.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from ..errors import BackendError, UsageError
from ..records import (
    Answer,
    Choice,
    Choose,
    Fault,
    Generate,
    Generation,
    Message,
    Request,
    Role,
    content_hash,
)
from .base import Ticket, as_text, unreadable
from .endpoint import Endpoint
from .keys import key_for
from .openai_bodies import Echoed, chat, completion, echo_reader, first_tokens, messages_of

#: Raised when the same request could be answered otherwise by newer code.
VERSION = "1"
#: How many alternatives of the first token a chat server is asked for (OpenAI's limit).
TOP = 20


class OpenAIBackend:
    """Serves one model of one server.

    Args:
        model: the name under which the server knows it; None asks the server, which must have one.
        url: up to and with the version, for example `http://127.0.0.1:8000/v1`.
        digest: of the checkpoint that is served, where it is known: answers then belong to the
            weights, not to the address.
        role: what the model plays here, which says whose key its server is sent (keys.py).
        key_variable: environment variable that holds the key, instead.
        concurrency: requests under way at most; the server may bear fewer and is then given fewer.
        timeout_s, deadline_s: longest wait for one try, and for a request with all its tries.
        token_field: `max_completion_tokens` for models that refuse `max_tokens`.
        body: further fields of every request, for example `{"chat_template_kwargs": {...}}`.

    Raises:
        UsageError: a setting means nothing.
        BackendError: the server does not answer, or has no such model.
    """

    lockstep = False

    def __init__(
        self,
        model: str | None = None,
        *,
        url: str,
        digest: str | None = None,
        role: Role = "candidate",
        key_variable: str | None = None,
        concurrency: int = 64,
        timeout_s: float = 600.0,
        deadline_s: float = 1800.0,
        token_field: str = "max_tokens",
        body: Mapping[str, Any] | None = None,
    ) -> None:
        if concurrency < 1:
            raise UsageError(f"concurrency must be at least 1, got {concurrency}.")
        _check_address(url)
        self.parallel = concurrency
        self.token_field = token_field
        self.body = dict(body or {})
        self.digest = digest
        self.endpoint = Endpoint(
            url,
            key_for(role, url, key_variable),
            most=concurrency,
            timeout_s=timeout_s,
            deadline_s=deadline_s,
        )
        try:
            self.served = self._served(model)
        except BackendError:
            self.endpoint.close()
            raise
        self.model = str(self.served["id"])
        self.templates: bool | None = None
        self.gives_logprobs = True
        context = self.served.get("max_model_len")
        #: Most tokens of an answer: the server clips to what the prompt leaves, but refuses more.
        self.room = max(1, int(context) - 1) if isinstance(context, int) else 1 << 31

    def _served(self, model: str | None) -> Mapping[str, Any]:
        """What the server says of the model."""
        listed = self.endpoint.get("/models")
        try:
            known = {str(entry["id"]): entry for entry in listed["data"]}
        except (KeyError, TypeError) as error:
            raise BackendError(
                f"{self.endpoint.shown}/models lists no models ({error!r}); is it an OpenAI-compatible server?"
            ) from error
        if model is None and len(known) == 1:
            return dict(next(iter(known.values())))
        if model not in known:
            shown = ", ".join(sorted(known)[:5])
            asked = f"does not serve '{model}'" if model else f"serves {len(known)} models"
            raise BackendError(f"{self.endpoint.shown} {asked}; name one of: {shown}.")
        return dict(known[model])

    @property
    def identity(self) -> str:
        """Weights where they are known, else the server's address and the model's name."""
        who = self.digest or [self.endpoint.shown, self.model]
        return content_hash(["openai", VERSION, who, self.token_field, self.body], digits=32)

    def describe(self) -> Mapping[str, Any]:
        """For run.json; never the key."""
        return {
            "name": "openai",
            "version": VERSION,
            "url": self.endpoint.shown,
            "model": self.model,
            "context": self.served.get("max_model_len"),
            "concurrency": self.parallel,
            "body": self.body,
        }

    def render(self, request: Request) -> str:
        """Raw prompts as they are, chats as JSON: the template is the server's."""
        return as_text(request)

    def batches(self, tickets: Sequence[Ticket]) -> list[list[int]]:
        """Each by itself: the server composes batches."""
        return [[index] for index in range(len(tickets))]

    def answer(self, tickets: Sequence[Ticket]) -> Iterator[tuple[int, Answer | Fault]]:
        """Ask for each and wait for it.

        Raises:
            BackendError: the server refuses every request alike, or is gone.
        """
        for index, ticket in enumerate(tickets):
            fault = unreadable(ticket)
            yield index, fault or self._ask(ticket)

    def _ask(self, ticket: Ticket) -> Answer | Fault:
        request, began = ticket.request, time.perf_counter()
        if isinstance(request, Choose):
            return self._choose(request)
        assert isinstance(request, Generate)
        settings = ticket.settings
        payload: dict[str, Any] = {
            "model": self.model,
            self.token_field: min(settings.max_tokens, self.room),
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            **self.body,
        }
        if settings.stop:
            payload["stop"] = list(settings.stop)
        if not settings.greedy:
            payload["seed"] = ticket.seed % 2**31
        if isinstance(request.prompt, str):
            path, payload = "/completions", {**payload, "prompt": request.prompt}
            read, wanted = completion, {"logprobs": 0}
        else:
            path, payload = (
                "/chat/completions",
                {**payload, "messages": messages_of(request.prompt)},
            )
            read, wanted = chat, {"logprobs": True}
            if request.tools:
                payload["tools"] = list(request.tools)
        if settings.greedy:
            wanted = {}
        return self._post(path, payload, wanted, lambda b: read(b, time.perf_counter() - began))

    def _post(
        self,
        path: str,
        payload: Mapping[str, Any],
        wanted: Mapping[str, Any],
        read: Callable[[Mapping[str, Any]], Generation],
    ) -> Generation | Fault:
        """Ask, with the fields that are `wanted` unless the server has refused them before."""
        if wanted and self.gives_logprobs:
            got = self.endpoint.post(path, {**payload, **wanted}, read)
            if not (isinstance(got, Fault) and "logprobs" in got.detail):
                return got
            self.gives_logprobs = False
        return self.endpoint.post(path, payload, read)

    def _choose(self, request: Choose) -> Answer | Fault:
        if isinstance(request.prompt, str):
            return self._weigh(request.prompt, request.choices, special=True)
        if self.templates is None:
            self.templates = self.endpoint.accepts(self._beside("tokenize"))
        if not self.templates:
            return self._first_token(request.prompt, request.choices)
        rendered = self._rendered(request.prompt)
        if isinstance(rendered, Fault):
            return rendered
        return self._weigh(rendered, request.choices, special=False)

    def _first_token(self, prompt: Sequence[Message], choices: Sequence[str]) -> Answer | Fault:
        asked = {"model": self.model, "temperature": 0.0, self.token_field: 1, **self.body}
        told = {"messages": messages_of(prompt), "logprobs": True, "top_logprobs": TOP}
        return self.endpoint.post(
            "/chat/completions", {**asked, **told}, lambda body: first_tokens(body, choices)
        )

    def _rendered(self, prompt: Sequence[Message]) -> str | Fault:
        """The chat as its template writes it, by vLLM's `/tokenize` and `/detokenize`."""
        asked = {
            "model": self.model,
            "messages": messages_of(prompt),
            "add_generation_prompt": True,
        }
        tokens = self.endpoint.post(
            self._beside("tokenize"), asked, lambda body: [int(token) for token in body["tokens"]]
        )
        if isinstance(tokens, Fault):
            return tokens
        whole = {"model": self.model, "tokens": tokens}
        return self.endpoint.post(
            self._beside("detokenize"), whole, lambda body: str(body["prompt"])
        )

    def _beside(self, name: str) -> str:
        """Address of what vLLM serves outside the versioned API."""
        return f"{self.endpoint.url.rsplit('/', 1)[0]}/{name}"

    def _weigh(self, prompt: str, choices: Sequence[str], *, special: bool) -> Answer | Fault:
        """Log-probability of each choice after a text; spaces before it belong to the choice."""
        stem = prompt.rstrip()
        asked = {"model": self.model, "temperature": 0.0, "max_tokens": 1, **self.body}
        asked |= {"echo": True, "logprobs": 1}
        if not special:
            asked["add_special_tokens"] = False  # the template has written them
        found: list[Echoed] = []
        for choice in choices:
            whole = prompt + choice
            got = self.endpoint.post(
                "/completions", {**asked, "prompt": whole}, echo_reader(len(stem), len(whole))
            )
            if isinstance(got, Fault):
                return got
            found.append(got)
        prompts, written = zip(*(echoed.spent for echoed in found), strict=True)
        return Choice(
            tuple(echoed.logprob for echoed in found),
            tuple(echoed.tokens for echoed in found),
            sum(prompts),
            sum(written),
        )

    def close(self) -> None:
        """Drop the connections."""
        self.endpoint.close()


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number
        good = False
    if not good:
        raise UsageError(f"'{url}' is no address; pass one such as http://127.0.0.1:8000/v1.")
