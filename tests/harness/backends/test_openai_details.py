"""What servers say beside the answer: refusals, waits, keys repeated back, thinking, calls."""

from __future__ import annotations

import email.utils
import json
import time
from pathlib import Path
from typing import Any

import pytest
from faulty_server import FaultyServer, Handler, serving
from test_openai import make_ticket, sums

from waterbed.harness.backends import endpoint
from waterbed.harness.backends.endpoint import Endpoint
from waterbed.harness.backends.keys import Key
from waterbed.harness.backends.openai import OpenAIBackend
from waterbed.harness.backends.openai_bodies import (
    Echoed,
    chat,
    completion,
    echo_reader,
    first_tokens,
)
from waterbed.harness.errors import BackendError
from waterbed.harness.records import (
    Choice,
    Fault,
    Generate,
    GenerationSettings,
    user,
)
from waterbed.harness.runner import Runner, TaskPlan

#: Bodies that vLLM 0.32 sent for the pocket base, and one in the form of a server with parsers.
BODIES = json.loads((Path(__file__).parent / "vllm_bodies.json").read_text())
KEY = "sk-not-for-anybody-1234567890"


def saying(monkeypatch: pytest.MonkeyPatch, status: int, body: Any, **headers: str) -> None:
    """The server's fault `told` answers the first try with this."""

    def told(self: Handler) -> bool:
        found = body(self) if callable(body) else body
        self.reply(status, found, {k.replace("_", "-"): v for k, v in headers.items()})
        return True

    monkeypatch.setattr(Handler, "told", told, raising=False)


def one(server: FaultyServer, temperature: float = 0.0, **options: Any) -> Any:
    backend = OpenAIBackend(url=server.url, deadline_s=5.0, **options)
    settings = GenerationSettings(max_tokens=8, temperature=temperature)
    try:
        [(_, got)] = backend.answer([make_ticket(Generate(user("1+1=")), settings)])
    finally:
        backend.close()
    return got


def test_a_wait_asked_for_as_a_date_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "PAUSE_S", 0.001)
    saying(monkeypatch, 429, {}, Retry_After=email.utils.formatdate(time.time() + 3, usegmt=True))
    began = time.monotonic()
    with serving("told") as server:
        assert one(server).text == "2"
    assert 1.5 < time.monotonic() - began < 4.5


@pytest.mark.parametrize("said", ["soon", "-5", "nan", "Thu, 99 Foo 2026"])
def test_a_wait_that_means_nothing_is_passed_over(
    said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "PAUSE_S", 0.001)
    saying(monkeypatch, 429, {}, Retry_After=said)
    with serving("told") as server:
        assert one(server).text == "2"


def refusal(field: str) -> dict[str, Any]:
    said = f"Unsupported parameter: '{field}' is not supported with this model."
    return {"error": {"message": said, "param": field, "code": "unsupported_parameter"}}


def test_a_field_that_the_model_does_not_take_stops_the_run_and_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    saying(monkeypatch, 400, refusal("max_tokens"))
    with (
        serving("told", tries=9) as server,
        pytest.raises(BackendError, match=r"the field 'max_tokens'.*max_completion_tokens"),
    ):
        one(server)
    with serving("told", tries=0) as server:
        assert one(server, token_field="max_completion_tokens").text == "2"
    assert server.bodies[-1]["max_completion_tokens"] == 8


def test_a_server_without_log_probabilities_is_asked_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    saying(monkeypatch, 400, refusal("logprobs"))
    with serving("told") as server:
        got = one(server, temperature=1.0)
    assert (got.text, got.logprob) == ("2", None)
    assert ["logprobs" in body for body in server.bodies] == [True, False]


@pytest.mark.parametrize("status", [400, 401, 500])
def test_the_key_is_in_no_message_even_where_a_server_repeats_it(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATERBED_CANDIDATE_API_KEY", KEY)
    monkeypatch.setattr(endpoint, "PAUSE_S", 0.001)
    saying(monkeypatch, status, lambda handler: {"you": dict(handler.headers)})
    task = sums(3)
    with serving("told", tries=10**6) as server:
        backend = OpenAIBackend(url=server.url, deadline_s=0.05)
        try:
            found: Any = Runner({"candidate": backend}).run([TaskPlan(task, task.items)])
        except BackendError as error:
            found = (error, error.__cause__, error.__context__)
        backend.close()
        told = repr((found, backend.describe(), backend.identity))
    assert "***" in told
    assert KEY not in told


def test_a_password_in_the_address_is_not_recorded() -> None:
    with serving() as server:
        backend = OpenAIBackend(url=server.url.replace("//", "//me:secret-word@"))
        told = repr((backend.describe(), backend.endpoint.shown))
        backend.close()
    assert "secret-word" not in told
    assert server.url in told


def test_a_server_whose_certificate_cannot_be_trusted_stops_at_once() -> None:
    with serving() as server:
        found = Endpoint(
            server.url.replace("http:", "https:"), Key(), most=1, timeout_s=2.0, deadline_s=30.0
        )
        began = time.monotonic()
        with pytest.raises(BackendError, match=r"cannot be trusted.*SSL_CERT_FILE"):
            found.post("/completions", {}, dict)
        found.close()
    assert time.monotonic() - began < 5


def test_a_proxy_of_the_environment_is_used_and_no_proxy_is_obeyed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with serving() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.removesuffix("/v1"))
        backend = OpenAIBackend(url="http://a-model.invalid/v1")
        [(_, got)] = backend.answer([make_ticket(Generate(user("1+1=")), GenerationSettings())])
        backend.close()
        assert got.text == "2"  # type: ignore[union-attr]
        monkeypatch.setenv("NO_PROXY", "a-model.invalid")
        with pytest.raises(BackendError, match="no answer"):
            OpenAIBackend(url="http://a-model.invalid/v1")


def test_recorded_bodies_of_vllm_are_read_whole() -> None:
    got = chat(BODIES["chat sampled"], 0.5)
    usage = BODIES["chat sampled"]["usage"]
    assert (got.prompt_tokens, got.completion_tokens) == (
        usage["prompt_tokens"],
        usage["completion_tokens"],
    )
    tokens = BODIES["chat sampled"]["choices"][0]["logprobs"]["content"]
    assert got.logprob == pytest.approx(sum(t["logprob"] for t in tokens))
    assert chat(BODIES["chat greedy"], 0.5).logprob is None
    cut = completion(BODIES["completion sampled"], 0.5)
    assert cut.stop_reason == "length" and cut.logprob is not None and cut.logprob < 0
    told = BODIES["completion echo"]["choices"][0]
    start = told["logprobs"]["text_offset"][1]
    read = echo_reader(start, len("What is"))(BODIES["completion echo"])
    usage = BODIES["completion echo"]["usage"]
    billed = (usage["prompt_tokens"], usage["completion_tokens"])
    assert read == Echoed(told["logprobs"]["token_logprobs"][1], 1, billed)
    told = BODIES["chat first token"]
    (first,) = told["choices"][0]["logprobs"]["content"]
    likely = {top["token"]: top["logprob"] for top in first["top_logprobs"]}
    read_first = first_tokens(told, ("Surely", " rather"))
    billed = (told["usage"]["prompt_tokens"], told["usage"]["completion_tokens"])
    assert read_first == Choice((likely["Sure"], likely[" r"]), (1, 1), *billed)
    assert isinstance(first_tokens(told, ("Surely", "Sure")), Fault), "both begin alike"


def test_thinking_and_calls_are_told_apart_from_the_answer() -> None:
    message: dict[str, Any] = {"role": "assistant", "content": None}
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    body = {
        "choices": [{"message": {**message, "tool_calls": [call]}, "finish_reason": "tool_calls"}]
    }
    got = chat(body, 0.0)
    assert (got.text, got.stop_reason) == ("", "stop")
    assert [c.as_dict() for c in got.calls] == [call]
    for field in ("reasoning", "reasoning_content"):
        body = {"choices": [{"message": {**message, "content": "4", field: "two and two"}}]}
        got = chat(body, 0.0)
        assert (got.text, got.thinking) == ("4", "two and two")
    body = {"choices": [{"message": {**message, "content": "<think>hm</think>\n4"}}]}
    assert (chat(body, 0.0).text, chat(body, 0.0).thinking) == ("4", "hm")
