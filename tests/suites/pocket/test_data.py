"""Pocket training data: reproducible, refused where it must be, replay for each domain."""

import pytest

from waterbed.harness.datasets import datasets, load
from waterbed.harness.errors import UsageError
from waterbed.harness.records import DOMAINS
from waterbed.suites.pocket.domains import POCKET


def test_rows_follow_from_name_split_number_and_seed():
    first = load("pocket/pretrain@train", shape="messages", n=200, seed=3)
    again = load("pocket/pretrain@train", shape="messages", n=200, seed=3)
    other = load("pocket/pretrain@train", shape="messages", n=200, seed=4)
    assert first == again
    assert first != other


@pytest.mark.parametrize("domain", DOMAINS)
def test_each_domain_has_right_answers_and_a_replay_of_what_was_taught(domain):
    assert len(load(f"pocket/{domain}@train", shape="messages", n=5)) == 5
    replays = [d for d in datasets.all().values() if d.replay_for == domain]
    assert [d.name for d in replays] == [f"pocket/{domain}-replay"]


def test_the_test_split_cannot_be_trained_on():
    with pytest.raises(UsageError, match="test split"):
        load("pocket/math@test", shape="messages", n=5)


def test_an_endless_dataset_wants_a_number():
    with pytest.raises(UsageError, match="say how many rows"):
        load("pocket/math@train", shape="messages")


def test_an_unknown_split_is_refused():
    with pytest.raises(UsageError, match="no split 'validation'"):
        load("pocket/math@validation", shape="messages", n=5)


def test_no_training_prompt_is_a_test_prompt():
    asked = {
        tuple(m.content for m in item.question())
        for domain in POCKET.values()
        for item in domain.distinct("test", 1000)
    }
    rows = load("pocket/pretrain@train", shape="messages", n=5000)
    taught = {tuple(m["content"] for m in row["messages"][:-1]) for row in rows}
    assert not asked & taught
