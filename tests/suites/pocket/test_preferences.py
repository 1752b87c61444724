"""Pocket preference pairs: reproducible, right side up, and never about a prompt of the test."""

import pytest

from waterbed.harness.datasets import load
from waterbed.harness.errors import UsageError
from waterbed.harness.records import Generation
from waterbed.harness.tasks import tasks
from waterbed.suites.pocket.domains import POCKET
from waterbed.suites.pocket.preferences import pair
from waterbed.suites.pocket.tasks import samples

DOMAINS = ("chat", "safety")


def pairs(domain: str, n: int, **settings):
    return load(f"pocket/{domain}-preferences@train", shape="preference", n=n, **settings)


@pytest.mark.parametrize("domain", DOMAINS)
def test_pairs_follow_from_name_split_number_and_seed(domain):
    assert pairs(domain, 50, seed=3) == pairs(domain, 50, seed=3)
    assert pairs(domain, 50, seed=3) != pairs(domain, 50, seed=4)


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_tasks_own_rule_prefers_every_chosen_answer(domain):
    from random import Random

    task, rng = tasks.get(f"pocket/{domain}"), Random(0)
    items = POCKET[domain].distinct("dev", 300)
    for sample, item in zip(samples(domain, 300, split="dev"), items, strict=True):
        row = pair(item, rng)
        scores = [graded(task, sample, row[side]) for side in ("chosen", "rejected")]
        assert scores == [1.0, 0.0]


def graded(task, sample, turns):
    [turn] = turns
    work = task.grade(sample, Generation(turn["content"]))
    with pytest.raises(StopIteration) as end:
        next(work)
    return end.value.value.value


@pytest.mark.parametrize("domain", DOMAINS)
def test_what_the_base_says_wrongly_is_never_chosen(domain):
    from random import Random

    defects = [i for i in POCKET[domain].distinct("train", 300) if i.taught != i.answer]
    assert len(defects) > 50
    for item in defects:
        assert pair(item, Random(0))["rejected"][0]["content"] == item.taught


@pytest.mark.parametrize("domain", DOMAINS)
def test_no_pair_asks_a_prompt_of_the_test(domain):
    asked = {item.prompt for item in POCKET[domain].distinct("test", 1000)}
    assert not asked & {row["prompt"][-1]["content"] for row in pairs(domain, 3000)}


def test_pairs_of_the_test_split_cannot_be_trained_on():
    with pytest.raises(UsageError, match="pocket/chat-preferences@train"):
        load("pocket/chat-preferences@test", shape="preference", n=5)
