"""Whatever a model wrote, the page stays one page, small, and shows it as text."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from waterbed.harness.verdict import Verdict
from waterbed.reports.flips import Answer, Flip, FlipGroup
from waterbed.reports.gate_page import write_gate_page

HOSTILE = {
    "closing tags": "</pre></details></script><script>alert(1)</script>",
    "comment": "<!-- <style>*{display:none}</style>",
    "template": "{{ 7 * 7 }}{% for x in y %}{{ config }}",
    "bidi": "\u202eevil\u202c \u2066isolate",
    "nul": "a\x00b\x08c\x1b[2J",
    "surrogate": "\ud800 lone \udfff",
    "quotes": "\"'><img src=x onerror=alert(1)>",
    "entity": "&lt;b&gt;&#0;&amp;",
}


def flip(text: str, id: str = "1", direction: Any = "newly_failing") -> Flip:
    answer = Answer(text, 0.0, reason="wrong", extracted=text, detail=text)
    return Flip(id, 0, direction, text, answer, answer)


@pytest.fixture
def show(examples: ModuleType, tmp_path: Path, read: Callable[[Path], Any]) -> Callable[[str], Any]:
    def shown(text: str) -> Any:
        flips = [FlipGroup("humaneval", "correct", (flip(text, id=text[:40]),))]
        return read(write_gate_page(examples.verdict(), tmp_path / "gate.html", flips=flips))

    return shown


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_stays_text(show: Callable[[str], Any], text: str) -> None:
    page = show(text)
    assert len(page.all("script")) == 1
    assert len(page.all("style")) == 1
    assert not page.all("img")
    assert "49" not in page.one("section", id="flips").text.replace("n = 498", "")
    assert not set(page.source) & set("\x00\x08\x1b\u202e\u202c\u2066")


def test_model_text_stands_only_inside_pre(show: Callable[[str], Any]) -> None:
    page = show("needle-in-hay")
    inside = sum(e.text.count("needle-in-hay") for e in page.all("pre"))
    ids = sum(e.text.count("needle-in-hay") for e in page.all("bdi"))
    assert inside + ids == page.words.count("needle-in-hay")
    assert all(e.attributes.get("dir") == "auto" for e in page.all("pre") if "needle" in e.text)


def test_tag_like_text_reads_exactly_as_written(show: Callable[[str], Any]) -> None:
    text = HOSTILE["closing tags"]
    assert any(e.text == text for e in show(text).all("pre"))


def test_a_megabyte_on_one_line_is_cut_and_the_page_says_how_long_it_was(
    show: Callable[[str], Any], tmp_path: Path
) -> None:
    page = show("x" * 1_048_576)
    assert "cut, 1,048,576 characters in the Run" in page.words
    assert (tmp_path / "gate.html").stat().st_size < 1_000_000


def test_hostile_names_and_labels_do_no_harm(
    examples: ModuleType, tmp_path: Path, read: Callable[[Path], Any]
) -> None:
    from dataclasses import replace

    name = 'a/b "><script>\u202e'
    claims = (
        examples.domain(name, 0.02, "fail", {name: (100, 50, 9, 1), "a b script": (100, 50, 9, 1)}),
        examples.domain("日本", 0.02, "pass", {"数学": (100, 50, 1, 1)}),
    )
    base = examples.verdict()
    side = replace(base.candidate, label=name, settings={name: {name: [name]}})
    page = read(
        write_gate_page(
            examples.verdict(domain_list=claims, candidate=side, sentence=name, command=name),
            tmp_path / "gate.html",
            files=(name,),
        )
    )
    assert len(page.all("script")) == 1
    ids = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
    assert len(ids) == len(set(ids))


def many(examples: ModuleType, characters: int) -> tuple[Verdict, list[FlipGroup]]:
    """16 tasks of 8 claims, 50 flips each, texts that differ everywhere."""
    rng = random.Random(1)
    names = [f"task-{i}" for i in range(16)]
    claims = tuple(
        examples.domain(f"claim-{i}", 0.02, "fail" if i < 2 else "pass", dict.fromkeys(pair, (500, 300, 60, 50)))
        for i, pair in enumerate(zip(names[::2], names[1::2], strict=True))
    )  # fmt: skip
    words = [f"w{i:03}" for i in range(400)]

    def text() -> str:
        return " ".join(rng.choices(words, k=max(1, characters // 5)))

    groups = [
        FlipGroup(
            name,
            "correct",
            tuple(
                Flip(f"s{i}", 0, "newly_failing", text(), Answer(text(), 1.0), Answer(text(), 0.0))
                for i in range(50)
            ),
        )
        for name in names
    ]
    return examples.verdict(domain_list=claims), groups


@pytest.mark.parametrize("characters", [200, 2000, 20_000])
def test_fifty_flips_in_each_of_sixteen_tasks_fit_a_megabyte(
    examples: ModuleType, tmp_path: Path, read: Callable[[Path], Any], characters: int
) -> None:
    verdict, flips = many(examples, characters)
    path = write_gate_page(verdict, tmp_path / "gate.html", flips=flips)
    assert path.stat().st_size < 1_000_000
    page = read(path)
    shown = page.all("details", class_="flip")
    assert len(shown) >= 4 * 30
    assert "are shown at most" in page.words


def test_regressed_tasks_keep_their_samples_when_others_give_way(
    examples: ModuleType, tmp_path: Path, read: Callable[[Path], Any]
) -> None:
    verdict, flips = many(examples, 2000)
    page = read(write_gate_page(verdict, tmp_path / "gate.html", flips=flips))
    headings = [e.text for e in page.all("h4")]
    assert headings[0] == "Newly failing: 50 of 60 shown"
    assert headings[-1] != headings[0]
