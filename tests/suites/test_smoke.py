"""The group `smoke` is small, always the same, and scored by the rules of the benchmarks it is cut from."""

from __future__ import annotations

import random

import pytest

from waterbed.harness.errors import UsageError
from waterbed.harness.records import Sample
from waterbed.harness.tasks import resolve, tasks
from waterbed.suites.smoke import ITEMS, MAX_TOKENS, few

SMOKE = resolve(["smoke"])


def test_a_slice_does_not_depend_on_the_order_of_the_items() -> None:
    samples = [Sample(str(n), n) for n in range(500)]
    shuffled = random.Random(0).sample(samples, len(samples))
    assert few(shuffled) == few(samples)
    assert len(few(samples)) == ITEMS


def test_the_group_holds_four_domains_and_nothing_of_another_group() -> None:
    assert sorted(t.domain for t in SMOKE) == ["code", "instruction", "math", "safety"]
    assert {t.groups for t in SMOKE} == {("smoke",)}


@pytest.mark.parametrize("name", [t.name for t in SMOKE])
def test_a_slice_asks_what_its_benchmark_asks_and_grades_alike(name: str) -> None:
    small, whole = tasks.get(name), tasks.get(name.removeprefix("smoke/"))
    assert (small.settings.max_tokens, small.version) == (MAX_TOKENS, whole.version)
    assert small.factory.grade is whole.factory.grade
    assert small.factory.prompt is whole.factory.prompt
    try:
        assert {s.id for s in small.items} < {s.id for s in whole.items}
    except UsageError as error:
        pytest.skip(str(error))
