"""Every grader on every hostile answer, at ten megabytes and cut short, and on many random ones."""

from __future__ import annotations

import pytest
from hostile_answers import (
    GRADERS,
    MEGABYTES,
    NAMES,
    PIECES,
    SHORT,
    Items,
    assert_sound,
    of_size,
    timed,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from waterbed.harness.backends.sandbox import SandboxBackend
from waterbed.harness.records import Generation
from waterbed.harness.runner import Runner

pytestmark = pytest.mark.study
#: Processor seconds for one answer in this process.
LIMIT_S = 20.0


@pytest.mark.parametrize("name", GRADERS)
def test_every_hostile_answer_of_ten_megabytes_is_graded_in_time(
    name: str, hostile_items: Items, sandbox: SandboxBackend
) -> None:
    task, sample = hostile_items.of(name)
    texts = [of_size(piece, MEGABYTES << 20) for piece in PIECES.values()]
    slowest = 0.0
    for score, seconds in timed(task, sample, [*texts, *SHORT], sandbox):
        assert_sound(score)
        slowest = max(slowest, seconds)
    print(f"{name}: at most {slowest:.1f} CPU-seconds an answer")
    assert slowest < LIMIT_S


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=400)
@given(
    text=st.text(st.characters(codec=None))
    | st.lists(st.sampled_from([*PIECES.values()])).map("".join)
)
def test_any_of_many_texts_is_graded(
    name: str, hostile_items: Items, sandbox: SandboxBackend, text: str
) -> None:
    task, sample = hostile_items.of(name)
    (score,) = Runner({"sandbox": sandbox}).score(task, [(sample, Generation(text))])
    assert_sound(score)
