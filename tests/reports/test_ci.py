"""CI systems get the verdict in their own forms, within their limits."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from waterbed.harness.verdict import Verdict
from waterbed.reports.ci import SUMMARY_BYTES, annotations, junit_xml, step_summary, write_junit
from waterbed.reports.figures import points
from waterbed.reports.wording import first_line

HOSTILE = 'a|b`c <script>&"\x00\x1b\ud800\uffff\u202e]]>\nnext % line'


def suites(verdict: Verdict) -> dict[str, ElementTree.Element]:
    root = ElementTree.fromstring(junit_xml(verdict))
    assert root.tag == "testsuites"
    return {suite.attrib["name"]: suite for suite in root}


def test_a_suite_is_a_claim_and_a_case_a_task(examples: ModuleType) -> None:
    verdict = examples.verdict()
    found = suites(verdict)
    assert [*found] == [*(d.id for d in verdict.domain_list), "mean over domains"]
    for domain in verdict.domain_list:
        assert [c.attrib["name"] for c in found[domain.id]] == [t.task for t in domain.tasks]


def test_a_regression_fails_with_the_rule_as_its_text(examples: ModuleType) -> None:
    verdict = examples.verdict()
    for case in suites(verdict)["code"]:
        (failure,) = case
        assert failure.tag == "failure"
        assert failure.attrib["message"] == verdict.domains["code"].rule


def test_inconclusive_is_skipped_and_passed_is_bare(examples: ModuleType) -> None:
    found = suites(examples.verdict())
    assert [child.tag for case in found["chat"] for child in case] == ["skipped"]
    assert [child for case in found["math"] for child in case] == []


def test_trouble_of_the_instrument_is_an_error(examples: ModuleType) -> None:
    found = suites(examples.invalid())
    assert found["instrument"].attrib["errors"] == "1"
    assert [child.tag for case in found["code"] for child in case] == ["error"]


def test_a_missing_claim_is_still_a_case(examples: ModuleType) -> None:
    (case,) = suites(examples.inconclusive())["safety/unsafe"]
    assert case.attrib["name"] == "safety/unsafe"
    assert case[0].tag == "skipped"


def test_totals_add_up(examples: ModuleType) -> None:
    root = ElementTree.fromstring(junit_xml(examples.verdict()))
    tags = Counter(child.tag for case in root.iter("testcase") for child in case)
    names = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    for attribute, tag in names.items():
        assert int(root.attrib[attribute]) == tags[tag]
        assert sum(int(suite.attrib[attribute]) for suite in root) == tags[tag]
    assert int(root.attrib["tests"]) == len(list(root.iter("testcase")))


def test_no_two_cases_share_a_class_and_a_name(examples: ModuleType) -> None:
    cases = ElementTree.fromstring(junit_xml(examples.verdict())).iter("testcase")
    pairs = [(c.attrib["classname"], c.attrib["name"]) for c in cases]
    assert len(pairs) == len(set(pairs))


def test_hostile_names_are_legal_xml(examples: ModuleType, tmp_path: Path) -> None:
    claim = examples.domain(HOSTILE, 0.02, "fail", {HOSTILE: (100, 50, 9, 1)}, rule=HOSTILE)
    verdict = examples.verdict(domain_list=(claim,), sentence=HOSTILE, problems=(HOSTILE,))
    root = ElementTree.parse(write_junit(verdict, tmp_path / "new" / "junit.xml")).getroot()
    assert "⟨U+D800⟩" in root.attrib["name"]


@pytest.mark.parametrize("kind", ["verdict", "inconclusive", "green", "invalid"])
def test_the_summary_begins_with_the_verdict(examples: ModuleType, kind: str) -> None:
    verdict = getattr(examples, kind)()
    first = step_summary(verdict).splitlines()[0]
    plain = re.sub(r"&#(\d+);", lambda m: chr(int(m[1])), first)
    assert first_line(verdict) in plain


def rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| ")][1:]


def test_the_summary_puts_what_regressed_first_with_its_figures(examples: ModuleType) -> None:
    verdict = examples.verdict()
    table = rows(step_summary(verdict))
    assert len(table) == len(verdict.domain_list)
    assert table[0].startswith("| code |")
    assert points(verdict.domains["code"].delta) in table[0]


def test_the_summary_has_at_most_twenty_rows_and_says_what_it_left_out(
    examples: ModuleType,
) -> None:
    claims = tuple(
        examples.domain(f"claim-{i}", 0.02, "pass", {f"t{i}": (500, 300, 5, 5)}) for i in range(33)
    )
    text = step_summary(examples.verdict(domain_list=claims))
    assert len(rows(text)) == 20
    assert "13 more claims are on the page." in text


def test_a_summary_over_the_limit_is_cut_and_says_so(examples: ModuleType) -> None:
    long = examples.verdict(warnings=("é" * 2_000_000,))
    text = step_summary(long)
    assert len(text.encode()) <= SUMMARY_BYTES
    assert text.rstrip().endswith("the page has everything._")
    assert first_line(long)[:10] in text


def test_hostile_text_breaks_neither_table_nor_html(examples: ModuleType) -> None:
    claim = examples.domain(HOSTILE, 0.02, "fail", {"t": (100, 50, 9, 1)}, rule=HOSTILE)
    text = step_summary(examples.verdict(domain_list=(claim,), sentence=HOSTILE, command=HOSTILE))
    assert "<script" not in text.replace(f"`{text.rpartition('Again: `')[2]}", "")
    (row,) = rows(text)
    assert row.count("|") == 8
    assert not set(text) & set("\x00\x1b\ud800\u202e")


def test_annotations_name_each_regressed_claim_at_its_line_of_the_policy(
    examples: ModuleType, tmp_path: Path
) -> None:
    policy = tmp_path / "gate.yaml"
    policy.write_text("policy: harm\nmargins:\n  math: 3\n  code: 5\n")
    (line,) = annotations(examples.verdict(), policy)
    assert re.fullmatch(
        r"::error file=.*gate\.yaml,line=4,title=waterbed%3A code::code must .*", line
    )


def test_annotations_keep_to_ten_and_to_one_line_each(examples: ModuleType) -> None:
    claims = tuple(
        examples.domain(f"c{i}", 0.02, "fail", {"t": (100, 50, 9, 1)}, rule=HOSTILE)
        for i in range(14)
    )
    lines = annotations(examples.verdict(domain_list=claims))
    assert len(lines) == 10
    assert not any("\n" in line for line in lines)
    assert all("%0Anext %25 line" in line for line in lines)


def test_green_annotates_nothing_and_undecided_warns(examples: ModuleType) -> None:
    assert annotations(examples.green()) == []
    (line,) = annotations(examples.inconclusive())
    assert line.startswith("::warning ")
    assert annotations(examples.invalid())[0].startswith("::error title=waterbed%3A instrument::")
