"""Answers over an OpenAI-compatible HTTP server: vLLM, SGLang, llama.cpp, or a provider's API.

Chats go to `/chat/completions`, raw text to `/completions`. Alternatives (`Choose`) need a server that
gives log-probabilities: of the prompt's own tokens for raw text (`echo`), of the first answered token
for chats, where every alternative must begin with a token of its own among the likeliest. Retries and
the number of requests under way are endpoint.py's. Not here: starting a server, and what a request
costs in money (prices change; tokens are recorded).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

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
    ToolCall,
    content_hash,
)
from .base import Ticket, as_text, unreadable
from .endpoint import Endpoint
from .thinking import split_thinking

#: Raised when the same request could be answered otherwise by newer code.
VERSION = "1"
#: How many alternatives of the first token a chat server is asked for (OpenAI's limit).
TOP = 20
KEY_VARIABLE = "OPENAI_API_KEY"


class OpenAIBackend:
    """Serves one model of one server.

    Args:
        model: the name under which the server knows it; None asks the server, which must have one.
        url: up to and with the version, for example `http://127.0.0.1:8000/v1`.
        digest: of the checkpoint that is served, where it is known: answers then belong to the
            weights, not to the address.
        key_variable: environment variable that holds the key.
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
        key_variable: str = KEY_VARIABLE,
        concurrency: int = 64,
        timeout_s: float = 600.0,
        deadline_s: float = 1800.0,
        token_field: str = "max_tokens",
        body: Mapping[str, Any] | None = None,
    ) -> None:
        if concurrency < 1:
            raise UsageError(f"concurrency must be at least 1, got {concurrency}.")
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise UsageError(f"'{url}' is no address; pass one such as http://127.0.0.1:8000/v1.")
        self.parallel = concurrency
        self.token_field = token_field
        self.body = dict(body or {})
        self.digest = digest
        self.endpoint = Endpoint(
            url,
            os.environ.get(key_variable),
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

    def _served(self, model: str | None) -> Mapping[str, Any]:
        """What the server says of the model."""
        listed = self.endpoint.get("/models")
        try:
            known = {str(entry["id"]): entry for entry in listed["data"]}
        except (KeyError, TypeError) as error:
            raise BackendError(
                f"{self.endpoint.url}/models lists no models ({error!r}); is it an OpenAI-compatible server?"
            ) from error
        if model is None and len(known) == 1:
            return dict(next(iter(known.values())))
        if model not in known:
            shown = ", ".join(sorted(known)[:5])
            asked = f"does not serve '{model}'" if model else f"serves {len(known)} models"
            raise BackendError(f"{self.endpoint.url} {asked}; name one of: {shown}.")
        return dict(known[model])

    @property
    def identity(self) -> str:
        """Weights where they are known, else the server's address and the model's name."""
        who = self.digest or [self.endpoint.url, self.model]
        return content_hash(["openai", VERSION, who, self.token_field, self.body], digits=32)

    def describe(self) -> Mapping[str, Any]:
        """For run.json; never the key."""
        parts = urlsplit(self.endpoint.url)
        host = parts.netloc.rsplit("@", 1)[-1]
        return {
            "name": "openai",
            "version": VERSION,
            "url": urlunsplit((parts.scheme, host, parts.path, "", "")),
            "model": self.model,
            "context": self.served.get("max_model_len"),
            "concurrency": self.parallel,
            "body": self.body,
            "retries": self.endpoint.retries,
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
            self.token_field: settings.max_tokens,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            **self.body,
        }
        if settings.stop:
            payload["stop"] = list(settings.stop)
        if not settings.greedy:
            payload["seed"] = ticket.seed % 2**31
        if isinstance(request.prompt, str):
            return self.endpoint.post(
                "/completions",
                {**payload, "prompt": request.prompt},
                lambda body: _completion(body, time.perf_counter() - began),
            )
        if request.tools:
            payload["tools"] = list(request.tools)
        return self.endpoint.post(
            "/chat/completions",
            {**payload, "messages": _messages(request.prompt)},
            lambda body: _chat(body, time.perf_counter() - began),
        )

    def _choose(self, request: Choose) -> Answer | Fault:
        common = {"model": self.model, "temperature": 0.0, **self.body}
        if not isinstance(request.prompt, str):
            messages = _messages(request.prompt)
            asked = {**common, "messages": messages, "logprobs": True, "top_logprobs": TOP}
            return self.endpoint.post(
                "/chat/completions",
                {**asked, self.token_field: 1},
                lambda body: _first_tokens(body, request.choices),
            )
        stem = request.prompt.rstrip()
        tails = [request.prompt[len(stem) :] + choice for choice in request.choices]
        found: list[tuple[float, int]] = []
        for tail in tails:
            asked = {**common, "prompt": stem + tail, "echo": True, "logprobs": 1}
            got = self.endpoint.post(
                "/completions",
                {**asked, "max_tokens": 1},
                _echo_reader(len(stem), len(stem + tail)),
            )
            if isinstance(got, Fault):
                return got
            found.append(got)
        return Choice(tuple(p for p, _ in found), tuple(n for _, n in found))

    def close(self) -> None:
        """Drop the connections."""
        self.endpoint.close()


def _messages(prompt: Sequence[Message]) -> list[dict[str, Any]]:
    return [message.as_dict() for message in prompt]


def _completion(body: Mapping[str, Any], seconds: float) -> Generation:
    choice = body["choices"][0]
    thinking, text = split_thinking(_text(choice["text"]))
    return _generation(body, choice, text, thinking, (), seconds)


def _chat(body: Mapping[str, Any], seconds: float) -> Generation:
    choice = body["choices"][0]
    message = choice["message"]
    thinking, text = split_thinking(_text(message.get("content")))
    told = message.get("reasoning_content") or message.get("reasoning")
    calls = tuple(_call(call) for call in message.get("tool_calls") or ())
    return _generation(body, choice, text, _text(told) if told else thinking, calls, seconds)


def _generation(
    body: Mapping[str, Any],
    choice: Mapping[str, Any],
    text: str,
    thinking: str | None,
    calls: tuple[ToolCall, ...],
    seconds: float,
) -> Generation:
    usage = body.get("usage") or {}
    return Generation(
        text=text,
        stop_reason="length" if choice.get("finish_reason") == "length" else "stop",
        thinking=thinking,
        prompt_tokens=int(usage.get("prompt_tokens") or 0),
        completion_tokens=int(usage.get("completion_tokens") or 0),
        latency_s=seconds,
        calls=calls,
    )


def _text(content: Any) -> str:
    """Text of a message: a string, nothing, or a list of parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "".join(str(part["text"]) for part in content if part.get("type") == "text")


def _call(call: Mapping[str, Any]) -> ToolCall:
    function = call["function"]
    return ToolCall(str(function["name"]), str(function["arguments"]), str(call.get("id") or ""))


def _first_tokens(body: Mapping[str, Any], choices: Sequence[str]) -> Choice | Fault:
    """Log-probability of the token that each choice begins with."""
    content = (body["choices"][0].get("logprobs") or {}).get("content")
    if not content:
        return Fault("backend_error", "the server gives no log-probabilities, which Choose needs")
    told = {str(top["token"]): float(top["logprob"]) for top in content[0]["top_logprobs"]}
    begun = [max((t for t in told if t and c.startswith(t)), key=len, default="") for c in choices]
    if "" in begun or len(set(begun)) < len(choices):
        return Fault(
            "backend_error",
            f"the {len(told)} likeliest first tokens do not tell {list(choices)} apart",
        )
    return Choice(tuple(told[token] for token in begun), (1,) * len(choices))


def _echo_reader(start: int, end: int) -> Any:
    """Reads the summed log-probability of the prompt's characters from `start` to `end`."""

    def read(body: Mapping[str, Any]) -> tuple[float, int] | Fault:
        told = body["choices"][0].get("logprobs")
        if not told:
            return Fault(
                "backend_error", "the server gives no log-probabilities of a prompt (echo)"
            )
        pairs = zip(told["text_offset"], told["token_logprobs"], strict=True)
        own = [float(p) for offset, p in pairs if start <= offset < end and p is not None]
        return (sum(own), len(own)) if own else Fault("backend_error", "no token of an alternative")

    return read
