"""The gate page says what the Verdict says, in the order people read, and loads nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from waterbed.harness.verdict import Verdict
from waterbed.reports.figures import count, interval, points, size
from waterbed.reports.gate_page import write_gate_page
from waterbed.reports.wording import prose, reason

KINDS = ("verdict", "inconclusive", "green", "invalid")
SECTIONS = ["health", "changes", "figures", "rules", "flips", "diff", "provenance"]


@pytest.fixture(params=KINDS)
def verdict(request: pytest.FixtureRequest, examples: ModuleType) -> Verdict:
    made: Verdict = getattr(examples, request.param)()
    return made


@pytest.fixture
def page(verdict: Verdict, tmp_path: Path, read: Callable[[Path], Any]) -> Any:
    return read(write_gate_page(verdict, tmp_path / "gate.html"))


def leaves(value: Any) -> Iterator[Any]:
    """Every scalar in plain data."""
    if isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def derived(verdict: Verdict) -> set[float]:
    """What the page adds up: unscored samples by side, and items with the same outcome twice."""
    claims = [d.comparison for d in verdict.domain_list]
    sides = ([c.baseline_unscored for c in claims], [c.candidate_unscored for c in claims])
    found = {float(sum(sum(counts.values()) for counts in side)) for side in sides}
    for c in (t.comparison for d in verdict.domain_list for t in d.tasks):
        lower = (c.candidate - c.baseline) * c.delta < 0
        right = round(c.n * (1 - c.baseline if lower else c.baseline))
        found |= {float(right - c.lost), float(c.n - right - c.gained)}
    return found


def test_title_and_heading_begin_with_the_same_sentence(verdict: Verdict, page: Any) -> None:
    title, heading = page.all("title")[0].text, page.one("h1").text
    assert title.startswith(verdict.headline + ": ")
    assert prose(verdict.sentence) in title
    assert heading.startswith(title)


def test_every_figure_on_the_page_is_a_number_of_the_verdict(verdict: Verdict, page: Any) -> None:
    data = verdict.to_dict()
    known = {float(x) for x in leaves(data) if isinstance(x, int | float)} | derived(verdict)
    figures = page.all("data")
    assert len(figures) > 10
    for figure in figures:
        assert float(figure.attributes["value"]) in known
        assert figure.text.strip()


def test_no_digit_stands_outside_the_figures_but_in_the_sentences_of_the_verdict(
    verdict: Verdict, page: Any
) -> None:
    texts = {prose(str(x)) for x in leaves(verdict.to_dict()) if isinstance(x, str | float | int)}
    texts |= {reason(verdict), *verdict.baseline.settings["data"]}
    with_digits = sorted((t for t in texts if re.search(r"\d", t)), key=len, reverse=True)
    words = page.words
    for text in with_digits:
        words = re.sub(rf"(?<!\w)(?<!\d[.,]){re.escape(text)}(?!\w|[.,]\d)", " ", words)
    fixed = {"90%", "95%", "50", "6,000"}
    assert set(re.findall(r"[\w.,]*\d[\w.,%]*", words)) <= fixed


def test_the_titles_of_the_marks_say_the_same_numbers(verdict: Verdict, page: Any) -> None:
    titles = [e.text for e in page.all("title")]
    for domain in verdict.domain_list:
        c = domain.comparison
        said = f"{points(c.delta)} points"
        if c.low is not None:
            said += f", 90% interval {interval(c.low, c.high)}"
        said += f", allowed loss {size(domain.margin)}, n = {count(c.n)}"
        assert any(said in title and domain.id in title for title in titles)


def test_every_claim_shows_its_change_its_n_and_its_verdict_in_words(
    verdict: Verdict, page: Any
) -> None:
    words = {"pass": "pass", "fail": "regressed", "inconclusive": "inconclusive"}
    chips = [e.text for e in page.all("a") if "li" in e.parents and "ul" in e.parents]
    for domain in verdict.domain_list:
        chip = next(text for text in chips if domain.id in text)
        assert words[domain.badge] in chip
        assert "n = " in chip
        assert prose(domain.rule) in page.words


def test_the_worst_claim_is_first_in_the_plot(
    examples: ModuleType, tmp_path: Path, read: Any
) -> None:
    page = read(write_gate_page(examples.verdict(), tmp_path / "gate.html"))
    rows = [e.text for e in page.all("th", scope="row")]
    plotted = rows[rows.index("humaneval") - 1 :]
    assert plotted[:4] == ["code", "humaneval", "mbpp", "chat"]


def test_sections_come_in_reading_order_with_headings(page: Any) -> None:
    assert [e.attributes["id"] for e in page.all("section")] == SECTIONS
    assert [e.tag for e in page.elements if e.tag in ("h1", "h2")] == [
        "h1",
        *["h2"] * len(SECTIONS),
    ]


def test_anchors_are_slugs_are_unique_and_every_link_has_its_target(page: Any) -> None:
    ids = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]*", i) for i in ids)
    targets = {e.attributes["href"] for e in page.all("a") if e.attributes["href"].startswith("#")}
    assert targets <= {f"#{i}" for i in ids}


def test_the_page_refers_to_nothing_outside_itself(page: Any) -> None:
    assert not re.search(r"https?:|//[a-z]|@import|url\(", page.source)
    for element in page.elements:
        assert element.tag not in ("img", "iframe", "object", "embed", "form", "base")
        assert not {"style", "onclick", "onload", "src", "srcset"} & element.attributes.keys()


def test_the_policy_of_the_page_names_exactly_its_style_and_its_script(page: Any) -> None:
    policy = page.one("meta", **{"http-equiv": "Content-Security-Policy"}).attributes["content"]
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        digest = base64.b64encode(hashlib.sha256(page.one(tag).text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


def test_every_mark_has_a_title_and_every_table_says_what_its_columns_are(page: Any) -> None:
    charts = [e for e in page.all("svg", role="img") if "aria-label" not in e.attributes]
    titles = [e for e in page.all("title") if e.parents[-1] == "svg"]
    assert len(titles) == len(charts)
    assert all(t.text.strip() for t in titles)
    assert page.all("th", scope="col")


def test_a_toy_model_is_called_one_beside_its_figures(
    examples: ModuleType, tmp_path: Path, read: Any
) -> None:
    toy = read(write_gate_page(examples.inconclusive(), tmp_path / "toy.html"))
    assert toy.one("h1").text.endswith("(toy model)")
    chips = [e.text for e in toy.all("a") if "li" in e.parents and "main" in e.parents]
    assert all("(toy model)" in text for text in chips if "n = " in text)
    real = read(write_gate_page(examples.green(), tmp_path / "real.html"))
    assert "toy" not in real.words


def test_the_headline_stands_once_even_if_the_sentence_repeats_it(
    examples: ModuleType, tmp_path: Path, read: Any
) -> None:
    page = read(write_gate_page(examples.green(), tmp_path / "gate.html"))
    assert page.one("h1").text.count("NO HARM SHOWN") == 1


def test_problems_and_warnings_stand_in_the_banner(
    examples: ModuleType, tmp_path: Path, read: Any
) -> None:
    page = read(write_gate_page(examples.invalid(), tmp_path / "gate.html"))
    assert "29 pairs were dropped" in page.one("header").text
    assert "not trustworthy" in page.words


def test_an_empty_verdict_still_makes_a_page(
    examples: ModuleType, tmp_path: Path, read: Any
) -> None:
    empty = examples.verdict(domain_list=(), pooled=None, policy={})
    assert read(write_gate_page(empty, tmp_path / "deep" / "gate.html")).one("h1")


def test_earlier_runs_are_drawn_where_they_are_known(
    examples: ModuleType, tmp_path: Path, read: Any
) -> None:
    history = {"code": [0.6, 0.61, None, 0.58, 0.55]}
    page = read(write_gate_page(examples.verdict(), tmp_path / "gate.html", history=history))
    assert len(page.all("polyline")) == 2


def test_the_page_links_to_the_files_that_lie_beside_it(
    examples: ModuleType, tmp_path: Path, read: Any
) -> None:
    (tmp_path / "verdict.json").write_text("{}")
    page = read(write_gate_page(examples.verdict(), tmp_path / "gate.html"))
    links = {e.attributes["href"] for e in page.all("a")}
    assert {link for link in links if not link.startswith("#")} == {"verdict.json"}


def test_two_verdicts_give_the_same_bytes(examples: ModuleType, tmp_path: Path) -> None:
    one, two = (
        write_gate_page(examples.verdict(), tmp_path / f"{i}.html").read_bytes() for i in "ab"
    )
    assert one == two
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".html"] == []
