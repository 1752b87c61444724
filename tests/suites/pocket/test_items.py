"""The generators: splits, sizes and reproducible draws."""

from random import Random

import pytest

from waterbed.harness.errors import UsageError
from waterbed.harness.records import DOMAINS
from waterbed.suites.pocket.domains import POCKET
from waterbed.suites.pocket.items import SPLITS


def ids(domain: str, split: str, n: int) -> list[str]:
    return [item.id for item in POCKET[domain].distinct(split, n)]


def test_the_pocket_world_has_every_domain():
    assert tuple(POCKET) == DOMAINS


@pytest.mark.parametrize("domain", DOMAINS)
def test_each_domain_has_a_thousand_distinct_test_prompts(domain):
    assert len(set(ids(domain, "test", 1000))) == 1000


@pytest.mark.parametrize("domain", DOMAINS)
def test_train_dev_and_test_share_no_prompt(domain):
    drawn = {}
    for split in SPLITS:
        rng = Random(f"{domain} {split}")
        drawn[split] = {POCKET[domain].draw(split, rng).question() for _ in range(2000)}
    assert not drawn["train"] & drawn["test"]
    assert not drawn["train"] & drawn["dev"]
    assert not drawn["dev"] & drawn["test"]


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_longer_list_extends_a_shorter_one(domain):
    assert ids(domain, "dev", 120)[:50] == ids(domain, "dev", 50)


@pytest.mark.parametrize("domain", DOMAINS)
def test_an_evaluation_set_holds_equally_many_of_each_kind(domain):
    kinds = POCKET[domain].kinds
    drawn = [item.kind for item in POCKET[domain].distinct("test", 5 * len(kinds))]
    assert all(drawn.count(kind) == 5 for kind in kinds)


def test_asking_for_more_distinct_items_than_there_are_is_refused():
    with pytest.raises(UsageError, match="no more distinct test prompts"):
        ids("knowledge", "test", 3000)


def test_every_fact_is_seen_in_training_and_asked_in_the_test():
    knowledge = POCKET["knowledge"]
    rng = Random(0)
    taught = {knowledge.draw("train", rng).cluster for _ in range(5000)}
    asked = {item.cluster for item in knowledge.distinct("test", 1000)}
    assert len(taught) == 240
    assert asked <= taught
    assert len(asked) > 200
