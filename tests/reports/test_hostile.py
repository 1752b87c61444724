"""Text of others is shown as what it is: nothing hidden, nothing endless, nothing lost."""

from __future__ import annotations

import random
import time

import pytest

from waterbed.reports.hostile import excerpt, visible
from waterbed.reports.textdiff import word_diff


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x00b", "a␀b"),
        ("\x1b[31mred", "␛[31mred"),
        ("user\u202egnp.exe", "user⟨U+202E⟩gnp.exe"),
        ("a\u200bb", "a⟨U+200B⟩b"),
        ("half \ud800 pair", "half ⟨U+D800⟩ pair"),
        ("hidden \U000e0041 tag", "hidden ⟨U+E0041⟩ tag"),
        ("cr\rlf", "cr␍lf"),
        ("kept\n\ttab", "kept\n\ttab"),
        ("naïve 日本 👩‍🚀", "naïve 日本 👩‍🚀"),
    ],
)
def test_characters_that_deceive_are_made_visible(text: str, shown: str) -> None:
    assert visible(text) == shown
    visible(text).encode("utf-8")


def test_making_visible_twice_changes_nothing_more() -> None:
    once = visible("\x00\u202e\ud800")
    assert visible(once) == once


def test_a_short_text_is_not_cut() -> None:
    e = excerpt("answer", 100)
    assert (e.head + e.tail, e.note) == ("answer", "")


def test_a_megabyte_keeps_its_beginning_its_end_and_its_length() -> None:
    e = excerpt("a" * 1_000_000 + "#### 72", 300)
    assert e.cut and e.note == "cut, 1,000,007 characters in the Run"
    assert len(e.head) == 200
    assert e.tail.endswith("#### 72")


def test_a_diff_gives_both_texts_back() -> None:
    rng = random.Random(7)
    words = ["the", "cat", "sat,", "on", "a\n", "mat.", "  ", "é", "\t"]
    for _ in range(200):
        a, b = (" ".join(rng.choices(words, k=rng.randrange(30))) for _ in "ab")
        left, right = word_diff(a, b)
        assert "".join(s.text for s in left) == a
        assert "".join(s.text for s in right) == b


def test_a_diff_marks_the_words_that_differ() -> None:
    left, right = word_diff("sold 48/2 = 24 clips in May", "sold 48*2 = 96 clips in May")
    assert [s.text.strip() for s in left if s.changed] == ["/", "24"]
    assert [s.text.strip() for s in right if s.changed] == ["*", "96"]


def test_equal_texts_have_no_marks() -> None:
    left, right = word_diff("same words", "same words")
    assert left == right
    assert not any(s.changed for s in left)


def test_texts_without_common_words_are_not_marked_all_over() -> None:
    left, right = word_diff("completely different answer", "nothing shared here whatsoever")
    assert [s.changed for s in (*left, *right)] == [False, False]


def test_an_empty_side_is_no_segment() -> None:
    assert word_diff("", "") == ((), ())
    assert word_diff("", "text")[0] == ()


def test_a_diff_of_long_texts_costs_bounded_work() -> None:
    rng = random.Random(3)
    a, b = (" ".join(rng.choices("abcdefgh", k=20_000)) for _ in "ab")
    start = time.process_time()
    left, _ = word_diff("same start " + a, "same start " + b)
    assert time.process_time() - start < 2
    assert "".join(s.text for s in left) == "same start " + a
