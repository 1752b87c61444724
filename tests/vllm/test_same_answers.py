"""vLLM, in process and over HTTP, answers as transformers does, from the same tokens."""

from __future__ import annotations

from typing import Any

import pytest
from asking import ask, choices, first_requests, raw_questions

from waterbed.harness.backends.openai import OpenAIBackend
from waterbed.harness.backends.openai_bodies import messages_of
from waterbed.harness.backends.transformers import TransformersBackend
from waterbed.harness.backends.vllm import VLLMBackend
from waterbed.harness.records import (
    Choice,
    Choose,
    Fault,
    Generate,
    Generation,
    GenerationSettings,
    Message,
    user,
)

Engine = VLLMBackend | OpenAIBackend


def test_greedy_answers_are_equal_64_of_64(
    engine: Engine, transformers_backend: TransformersBackend
) -> None:
    asked = first_requests(16)
    assert len(asked) == 64
    theirs, ours = ask(transformers_backend, asked), ask(engine, asked)
    assert len({answer.text for answer in theirs}) > 30
    assert ours == theirs


def test_raw_text_and_stop_strings_give_the_same_answers(
    engine: Engine, transformers_backend: TransformersBackend
) -> None:
    asked = raw_questions(32)
    theirs, ours = ask(transformers_backend, asked), ask(engine, asked)
    assert [a.text for a in ours] == [a.text for a in theirs]
    assert [a.stop_reason for a in ours] == [a.stop_reason for a in theirs]
    assert any("e" not in a.text and a.completion_tokens < 24 for a in theirs)


def test_a_token_limit_cuts_alike(
    engine: Engine, transformers_backend: TransformersBackend
) -> None:
    asked = first_requests(4, max_tokens=3)
    theirs, ours = ask(transformers_backend, asked), ask(engine, asked)
    assert ours == theirs
    assert {answer.stop_reason for answer in ours} >= {"length"}


def test_choices_have_the_same_log_probabilities(
    engine: Engine, transformers_backend: TransformersBackend
) -> None:
    asked = choices(24)
    for ours, theirs in zip(ask(engine, asked), ask(transformers_backend, asked), strict=True):
        assert isinstance(ours, Choice)
        assert ours.logprobs == pytest.approx(theirs.logprobs, abs=2e-5)
        assert (ours.best, ours.token_counts) == (theirs.best, theirs.token_counts)


def test_sampled_answers_depend_on_the_seed_alone(engine: Engine) -> None:
    asked = first_requests(4, temperature=1.0, top_p=0.95)
    together = ask(engine, asked)
    by_themselves = [ask(engine, [one], seeds=i)[0] for i, one in enumerate(asked)]
    assert [a.text for a in together] == [a.text for a in by_themselves]
    assert [a.text for a in ask(engine, asked, seeds=1000)] != [a.text for a in together]
    assert all(a.logprob is not None and a.logprob < 0 for a in together)


def test_a_prompt_beyond_the_context_is_unscored_and_its_neighbors_are_answered(
    engine: Engine,
) -> None:
    long = "What is 1 plus 2? " * 400
    settings = GenerationSettings(max_tokens=4)
    asked: list[Any] = [(Generate(user(long)), settings), (Generate(user("Hello")), settings)]
    asked += [(Choose(long, ("a", "b")), settings), (Generate(long), settings)]
    got = ask(engine, asked)
    assert [getattr(a, "reason", "") for a in got] == [
        *("prompt_too_long", "", "prompt_too_long", "prompt_too_long")
    ]


def test_an_answer_is_clipped_to_what_the_context_holds(engine: Engine) -> None:
    [got] = ask(engine, [(Generate(user("Hello")), GenerationSettings(max_tokens=10_000))])
    assert isinstance(got, Generation)
    assert got.prompt_tokens + got.completion_tokens <= 512


def test_a_choice_without_the_template_is_made_by_the_first_token(
    http_backend: OpenAIBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [user(f"What is {n} plus 2?") for n in range(8)]
    asked = [(Choose(p, _likely(http_backend, p)), GenerationSettings()) for p in prompts]
    whole = ask(http_backend, asked)
    monkeypatch.setattr(http_backend, "templates", False)  # as a server without /tokenize
    for by_template, by_token in zip(whole, ask(http_backend, asked), strict=True):
        assert by_token.logprobs == pytest.approx(by_template.logprobs, abs=2e-5)
        assert by_token.best == by_template.best
    [got] = ask(http_backend, [(Choose(prompts[0], ("Sure", "Sure!")), GenerationSettings())])
    assert isinstance(got, Fault) and "do not tell" in got.detail


def _likely(backend: OpenAIBackend, prompt: tuple[Message, ...]) -> tuple[str, ...]:
    """Three of the words that the model would most likely begin with."""
    asked = {"model": backend.model, "messages": messages_of(prompt), "max_tokens": 1}
    asked |= {"temperature": 0.0, "logprobs": True, "top_logprobs": 20}
    told = backend.endpoint.post(
        "/chat/completions", asked, lambda body: body["choices"][0]["logprobs"]["content"][0]
    )
    assert not isinstance(told, Fault)
    words = [top["token"] for top in told["top_logprobs"] if top["token"].isalpha()]
    begun = [w for w in words if not any(o != w and w.startswith(o) for o in words)]
    return tuple(begun[:3])
