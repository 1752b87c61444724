"""Random draws: each row's own, and from the distribution they claim."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny_llama import answers, ask

from waterbed.harness.backends.decoding import Row, pick
from waterbed.harness.backends.stopping import Stops
from waterbed.harness.backends.transformers import TransformersBackend
from waterbed.harness.records import GenerationSettings


def rows(backend: TransformersBackend, count: int, **settings: Any) -> list[Row]:
    """Rows that differ by their seed only."""
    stops = Stops(backend.speech, ())
    chosen = GenerationSettings(**settings)
    return [Row(i, [1], 8, chosen, stops, False, random.Random(i)) for i in range(count)]


def test_a_sampled_text_depends_on_its_seed_and_not_on_its_neighbors(
    backend: TransformersBackend,
) -> None:
    tickets = [
        ask(backend, p, seed=s, temperature=1.0, max_tokens=16)
        for p, s in [("the cat", 1), ("the cat", 2), ("a", 3), ("the cat", 1)]
    ]
    together = [a.text for a in answers(backend, tickets)]
    assert together == [answers(backend, [t])[0].text for t in tickets]
    assert together == [a.text for a in answers(backend, tickets[::-1])][::-1]
    assert together[0] == together[3] != together[1]


def test_greedy_and_sampled_rows_can_share_a_batch(backend: TransformersBackend) -> None:
    tickets = [
        ask(backend, "the cat", max_tokens=8),
        ask(backend, "the cat", seed=5, temperature=1.5, max_tokens=8),
        ask(backend, "the cat", seed=5, temperature=1.5, top_p=0.4, max_tokens=8),
    ]
    together = [a.text for a in answers(backend, tickets)]
    assert together == [answers(backend, [t])[0].text for t in tickets]
    assert len(set(together)) == 3


@pytest.mark.parametrize("settings", [{"temperature": 1e-6}, {"temperature": 1.0, "top_p": 1e-9}])
def test_sampling_approaches_greedy_decoding(
    backend: TransformersBackend, settings: dict[str, float]
) -> None:
    greedy = ask(backend, "the cat", max_tokens=12)
    sampled = replace(greedy, settings=GenerationSettings(max_tokens=12, **settings))
    found = answers(backend, [greedy, sampled])
    assert found[0].text == found[1].text


@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.0])
def test_tokens_are_drawn_as_often_as_their_probability_says(
    backend: TransformersBackend, temperature: float
) -> None:
    logits = torch.tensor([0.0, 1.0, 2.0, -1.0, float("-inf")])
    wanted = torch.softmax(logits / temperature, -1)
    count = 4000
    drawn = torch.tensor(
        [
            token
            for token, _ in pick(
                logits.expand(count, 5), rows(backend, count, temperature=temperature)
            )
        ]
    )
    seen = torch.bincount(drawn, minlength=5) / count
    assert (seen - wanted).abs().max() < 0.03  # four standard errors
    assert seen[4] == 0


def test_the_nucleus_is_the_fewest_tokens_that_hold_top_p(backend: TransformersBackend) -> None:
    logits = torch.tensor([0.15, 0.5, 0.05, 0.3]).log()
    for top_p, nucleus in [(0.4, {1}), (0.6, {1, 3}), (0.79, {1, 3}), (0.85, {0, 1, 3})]:
        drawn = pick(logits.expand(400, 4), rows(backend, 400, temperature=1.0, top_p=top_p))
        assert {token for token, _ in drawn} == nucleus


def test_logits_that_are_not_finite_are_the_instruments_fault(backend: TransformersBackend) -> None:
    logits = torch.tensor([[0.0, float("nan")], [1.0, 0.0]])
    assert pick(logits, rows(backend, 2)) == [(-1, 0.0), (0, 0.0)]
    row = rows(backend, 1)[0]
    assert row.take((-1, 0.0), frozenset())
    assert "not finite" in row.fault
