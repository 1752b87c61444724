"""A NeMo Evaluator policy becomes one of ours, and what has no counterpart is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from waterbed.harness.errors import ConfigError
from waterbed.harness.nel import Conversion, convert, domain_of
from waterbed.harness.policy import Policy


def converted(tmp_path: Path, text: str) -> Conversion:
    file = tmp_path / "nel.yaml"
    file.write_text(text, encoding="utf-8")
    return convert(file)


def reread(tmp_path: Path, found: Conversion) -> Policy:
    file = tmp_path / "gate.yaml"
    file.write_text(found.to_yaml("nel.yaml"), encoding="utf-8")
    return Policy.load(file)


WHOLE = """\
version: 1
defaults: {tier: supporting, metric: mean_reward, direction: higher_is_better, max_drop: 0.015}
benchmarks:
  mmlu_pro: {tier: critical, max_drop: 0.01}
  gpqa: {max_drop: 0.02}
  humaneval: {metric: pass@1}
  aime_2025: {tier: critical, max_relative_drop: 0.02, relative_guard_below: 0.2}
  triviaqa: {tier: advisory, max_drop: 0.001}
  xstest: {direction: lower_is_better}
  our_bench: {}
"""


def test_tiers_and_drops_become_a_policy_that_validates(tmp_path: Path) -> None:
    policy = reread(tmp_path, converted(tmp_path, WHOLE))
    assert policy.name == "release"
    assert policy.margins == {"math": 0.015, "code": 0.015, "safety": 0.015, "knowledge": 0.01}
    assert policy.require == ("math", "code", "safety", "knowledge")
    assert policy.critical == ("math", "knowledge")


def test_everything_without_a_counterpart_is_named_with_the_reason(tmp_path: Path) -> None:
    lost = converted(tmp_path, WHOLE).lost
    for start, reason in [
        ("our_bench (supporting, max_drop 0.015)", "tells no domain"),
        ("triviaqa: tier advisory", "tested"),
        ("aime_2025: max_relative_drop 0.02 (below 0.2)", "absolute"),
        ("xstest: direction lower_is_better", "declares"),
        ("metric pass@1 (humaneval)", "declares"),
        ("knowledge: margins by benchmark (mmlu_pro 1, gpqa 2 points)", "smallest"),
        ("defaults for benchmarks that are not listed", "own margins"),
    ]:
        assert any(line.startswith(start) and reason in line for line in lost), start
    text = converted(tmp_path, WHOLE).to_yaml("nel.yaml")
    assert all(f"# - {line}\n" in text for line in lost)


def test_an_advisory_benchmark_sets_no_margin_and_is_not_required(tmp_path: Path) -> None:
    found = converted(tmp_path, "benchmarks: {gsm8k: {tier: advisory, max_drop: 0.5}}")
    assert (found.margins, found.require, found.name) == ({}, (), "harm")
    assert reread(tmp_path, found).hash == Policy().hash


def test_the_files_own_default_drop_holds_where_nothing_is_said(tmp_path: Path) -> None:
    assert converted(tmp_path, "benchmarks: {gsm8k: }").margins == {"math": 1.5}


@pytest.mark.parametrize("drop", ["0", "0.0004", "1.0"])
def test_a_drop_that_can_be_no_margin_leaves_the_default(drop: str, tmp_path: Path) -> None:
    found = converted(tmp_path, f"benchmarks: {{gsm8k: {{max_drop: {drop}}}}}")
    assert found.margins == {} and found.require == ("math",)
    assert any("is no margin" in line for line in found.lost)
    assert reread(tmp_path, found).margins == {}


def test_a_file_that_is_no_such_policy_is_refused_with_its_lines(tmp_path: Path) -> None:
    text = "version: 2\nbenchmarks:\n  gsm8k:\n    teir: critical\n    max_drop: -1\n"
    with pytest.raises(ConfigError) as caught:
        converted(tmp_path, text)
    lines = str(caught.value).replace(f"{tmp_path}/", "").splitlines()
    assert [line.split(" ")[0] for line in lines] == ["nel.yaml:1:", "nel.yaml:4:", "nel.yaml:5:"]
    assert "did you mean 'tier'" in lines[1]


def test_a_hostile_benchmark_name_stays_in_its_comment(tmp_path: Path) -> None:
    text = 'benchmarks:\n  "x\\ninconclusive: pass\\n\\e[31m": {tier: critical}\n'
    found = converted(tmp_path, text)
    assert reread(tmp_path, found).inconclusive is None
    assert all(line.isprintable() for line in found.lost)


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("gsm8k", "math"),
        ("ns_aime2025", "math"),
        ("math_500", "math"),
        ("lm-eval://mt_bench", "chat"),
        ("mmlu-pro", "knowledge"),
        ("simple_evals.GPQA_diamond", "knowledge"),
        ("bfcl_v3", "tools"),
        ("SWE-bench-verified", "code"),
        ("IFEval", "instruction"),
        ("harmbench", "safety"),
        ("pocket/tools", "tools"),
    ],
)
def test_a_known_name_tells_its_domain(name: str, domain: str) -> None:
    assert domain_of(name) == domain


@pytest.mark.parametrize("name", ["mathvista", "our_bench", "", "math_code_mbpp", "architecture"])
def test_a_name_that_only_resembles_a_known_one_tells_nothing(name: str) -> None:
    assert domain_of(name) is None
