"""Log-probabilities of alternatives against a plain full forward pass."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_llama import answers, ask, pose

from waterbed.harness.backends.transformers import TransformersBackend
from waterbed.harness.errors import UsageError
from waterbed.harness.records import Choice, Fault, Generation, user

HEADER = "Question: what is two and two? Answer: four.\n" * 5
QUESTIONS = [
    (HEADER + "the cat sat on the", (" mat", " end of the story", " x")),
    (HEADER + "Question: what? Answer:", (" A", " B", " C", " D")),
    (HEADER + "is it", (" the cat that sat on the mat and two and two", " no")),
    (HEADER + "ends with spaces  ", ("mat", "the")),
]


def naive(backend: TransformersBackend, rendered: str, choice: str, special: bool = True) -> float:
    """One whole forward pass a choice, by lm-eval's rule for where the choice begins."""
    stem = rendered.rstrip()
    whole = rendered[len(stem) :] + choice
    tokenizer = backend.loaded.tokenizer
    head = tokenizer(stem, add_special_tokens=special)["input_ids"]
    ids = tokenizer(stem + whole, add_special_tokens=special)["input_ids"]
    logprobs = torch.log_softmax(backend.loaded.model(torch.tensor([ids])).logits[0].double(), -1)
    return sum(float(logprobs[i - 1, ids[i]]) for i in range(len(head), len(ids)))


def test_choices_weigh_what_a_whole_forward_pass_says(backend: TransformersBackend) -> None:
    backend.engine.prefix = None
    found = answers(backend, [pose(backend, p, *c) for p, c in QUESTIONS])
    assert backend.engine.prefix is not None, "the shared header was not read once"
    for (prompt, choices), answer in zip(QUESTIONS, found, strict=True):
        assert isinstance(answer, Choice)
        wanted = [naive(backend, prompt, c) for c in choices]
        assert answer.logprobs == pytest.approx(wanted, abs=1e-4)


def test_the_tokens_of_each_choice_are_counted(backend: TransformersBackend) -> None:
    prompt = "the cat"
    answer = answers(backend, [pose(backend, prompt, "xyz", "x")])[0]
    assert answer.token_counts == (3, 1)


def test_choices_behind_a_chat_are_weighed_without_a_second_start_token(chatty: Path) -> None:
    backend = TransformersBackend(chatty, threads=1, batch_size=4)
    ticket = pose(backend, user("the cat sat on"), "the mat", "x")
    answer = answers(backend, [ticket])[0]
    wanted = [naive(backend, ticket.rendered, c, special=False) for c in ("the mat", "x")]
    assert answer.logprobs == pytest.approx(wanted, abs=1e-4)


def test_raw_text_keeps_the_start_token_its_tokenizer_gives_it(chatty: Path) -> None:
    backend = TransformersBackend(chatty, threads=1, batch_size=4)
    start = backend.loaded.tokenizer.bos_token_id
    assert backend.prompts.encode(["the cat"], chat=False)[0][0] == start
    assert start not in backend.prompts.encode(["the cat"], chat=True)[0]
    answer = answers(backend, [pose(backend, "the cat", " sat")])[0]
    assert answer.logprobs == pytest.approx([naive(backend, "the cat", " sat")], abs=1e-4)


def test_choices_do_not_depend_on_the_batch_they_are_in(backend: TransformersBackend) -> None:
    tickets = [pose(backend, p, *c) for p, c in QUESTIONS]
    together = answers(backend, tickets)
    for ticket, answer in zip(tickets, together, strict=True):
        alone = answers(backend, [ticket])[0]
        assert answer.logprobs == pytest.approx(alone.logprobs, abs=1e-4)
        assert answer.best == alone.best


def test_models_whose_caches_cannot_be_copied_are_weighed_whole(plain: Path) -> None:
    backend = TransformersBackend(plain, threads=1, batch_size=4)
    cached = answers(backend, [pose(backend, *QUESTIONS[0][:1], *QUESTIONS[0][1])])[0]
    backend.engine.pads = False
    whole = answers(backend, [pose(backend, *QUESTIONS[0][:1], *QUESTIONS[0][1])])[0]
    assert whole.logprobs == pytest.approx(cached.logprobs, abs=1e-4)


def test_a_choice_at_the_start_of_a_text_is_weighed(backend: TransformersBackend) -> None:
    answer = answers(backend, [pose(backend, " ", "the cat", "mat")])[0]
    assert isinstance(answer, Choice)
    assert all(value < 0 for value in answer.logprobs)


def test_an_empty_alternative_is_a_fault(backend: TransformersBackend) -> None:
    found = answers(backend, [pose(backend, "the cat", " sat", ""), pose(backend, "the cat", "x")])
    assert isinstance(found[0], Fault)
    assert isinstance(found[1], Choice)


def test_alternatives_that_leave_the_context_are_a_fault(backend: TransformersBackend) -> None:
    found = answers(backend, [pose(backend, "x" * 250, "y" * 6), pose(backend, "x" * 250, "y" * 8)])
    assert isinstance(found[0], Choice)
    assert isinstance(found[1], Fault)
    assert found[1].reason == "prompt_too_long"


def test_a_batch_of_choices_holds_no_more_alternatives_than_rows(
    backend: TransformersBackend,
) -> None:
    tickets = [pose(backend, f"the cat {i}", *[" A", " B", " C"]) for i in range(7)]
    batches = backend.batches([*tickets, ask(backend, "the cat")])
    assert [len(b) for b in batches] == [2, 2, 2, 1, 1]
    assert batches[-1] == [7]


def test_choices_and_texts_can_share_a_batch(backend: TransformersBackend) -> None:
    found = answers(backend, [ask(backend, "a", max_tokens=2), pose(backend, "the cat", "x", "y")])
    assert isinstance(found[0], Generation)
    assert isinstance(found[1], Choice)


def test_a_chat_without_a_template_names_the_way_out(backend: TransformersBackend) -> None:
    with pytest.raises(UsageError, match=r"no chat template.*completion tasks"):
        pose(backend, user("the cat"), "x")
