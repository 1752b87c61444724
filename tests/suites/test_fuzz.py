"""No answer breaks a grader: it scores, says why, and comes back in time. The long version is a study."""

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

#: Processor seconds for one answer in this process, of whatever size; nothing known takes a third.
LIMIT_S = 6.0


@pytest.mark.parametrize("name", NAMES)
def test_no_hostile_answer_breaks_a_grader(
    name: str, hostile_items: Items, sandbox: SandboxBackend
) -> None:
    task, sample = hostile_items.of(name)
    texts = list(SHORT[:: 4 if "sandbox" in task.roles else 1])
    texts += [of_size(piece, 2000) for piece in PIECES.values()][:: 8 if task.roles else 1]
    for score, seconds in timed(task, sample, texts, sandbox):
        assert_sound(score)
        assert seconds < LIMIT_S


@pytest.mark.parametrize("name", GRADERS)
def test_ten_megabytes_are_graded_in_time(
    name: str, hostile_items: Items, sandbox: SandboxBackend
) -> None:
    task, sample = hostile_items.of(name)
    piece = list(PIECES.values())[GRADERS.index(name) % len(PIECES)]
    for score, seconds in timed(task, sample, [of_size(piece, MEGABYTES << 20)], sandbox):
        assert_sound(score)
        assert seconds < LIMIT_S


MARKS = st.sampled_from([*PIECES.values(), "}", ")", "]", ">>", "\n\n", "yes", "A", " ", "7"])
ANSWERS = st.one_of(
    st.text(st.characters(codec=None), max_size=60),
    st.lists(MARKS, max_size=25).map("".join),
)


@pytest.mark.parametrize("name", GRADERS)
@settings(deadline=None, max_examples=15)
@given(text=ANSWERS)
def test_any_text_is_graded(
    name: str, hostile_items: Items, sandbox: SandboxBackend, text: str
) -> None:
    task, sample = hostile_items.of(name)
    if "sandbox" in task.roles and text.strip() and len(text) % 3:
        return  # a program a text is slow; the study runs them all
    (score,) = Runner({"sandbox": sandbox}).score(task, [(sample, Generation(text))])
    assert_sound(score)
