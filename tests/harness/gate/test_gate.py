"""The gate: outcomes, exit codes and what is said, on Runs whose truth is known."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from waterbed.harness.errors import IncomparableRuns, UnknownName
from waterbed.harness.gate import gate_runs
from waterbed.harness.policy import Policy
from waterbed.harness.verdict import Verdict

Runs = Callable[..., Any]

#: Seven domains in which a little changed both ways: (items, right, lost, gained).
CALM = {
    "instruction": (541, 400, 20, 20),
    "math": (1319, 800, 50, 50),
    "code": (164, 100, 6, 6),
    "tools": (1000, 700, 40, 40),
    "chat": (600, 300, 30, 30),
    "safety": (1000, 900, 30, 30),
    "knowledge": (1000, 500, 40, 40),
}


def calm(**changed: tuple[int, int, int, int]) -> dict[str, tuple[int, int, int, int]]:
    return {**CALM, **changed}


def test_a_run_against_itself_shows_no_harm_and_says_what_it_cannot_see(runs: Runs) -> None:
    old, _ = runs(**CALM)
    verdict = gate_runs(old, old, Policy())
    assert (verdict.exit_code, verdict.outcome, verdict.headline) == (0, "pass", "NO HARM SHOWN")
    assert verdict.family_size == 8
    assert verdict.sentence.startswith(
        "No loss of a whole margin is shown; losses below these cannot be seen (points): "
    )
    for domain in CALM:
        spot = verdict.domains[domain].blind_spot
        assert spot is not None
        assert f"{domain} {math.ceil(200 * spot - 1e-9) / 2:g}" in verdict.sentence
    assert "PASS" not in verdict.sentence
    assert "safe " not in verdict.sentence


def test_a_harmless_candidate_of_the_reference_suite_can_be_green(runs: Runs) -> None:
    suite = {
        "instruction": (541, 400, 22, 20),
        "math": (1319, 800, 50, 55),
        "code": (164, 100, 6, 6),
        "tools": (1000, 700, 40, 42),
        "chat": (160, 80, 10, 8),
        "safety": (450, 420, 12, 10),
        "knowledge": (1000, 500, 45, 40),
    }
    assert gate_runs(*runs(**suite), Policy()).exit_code == 0


def test_a_loss_on_one_domain_is_a_regression_and_is_named(runs: Runs) -> None:
    verdict = gate_runs(*runs(**calm(math=(1319, 800, 110, 40))), Policy())
    assert (verdict.exit_code, verdict.outcome, verdict.headline) == (1, "fail", "REGRESSION")
    assert verdict.sentence.startswith("math lost 5.3 points (90% CI [-6.9, -3.8], Holm p ")
    assert [d.id for d in verdict.domain_list if d.badge == "fail"] == ["math"]
    lost = verdict.domains["math"]
    assert lost.sentence.startswith("FAIL: -5.3 points")
    assert lost.rule.startswith(
        "math must not drop by more than 3 points; observed -5.3 [-6.9, -3.8], p "
    )
    assert lost.delta == pytest.approx(-70 / 1319)
    assert (lost.comparison.gained, lost.comparison.lost, lost.comparison.n) == (40, 110, 1319)


def test_a_small_loss_everywhere_is_caught_by_the_mean_over_domains(runs: Runs) -> None:
    diffuse = dict.fromkeys(CALM, (1000, 600, 52, 30))
    verdict = gate_runs(*runs(**diffuse), Policy(margins=dict.fromkeys(CALM, 5)))
    assert all(d.badge != "fail" for d in verdict.domain_list)
    assert verdict.pooled is not None
    assert verdict.pooled.badge == "fail"
    assert verdict.exit_code == 1
    assert verdict.sentence.startswith("Mean over 7 domains: -2.2 points")


def test_a_loss_found_alone_but_not_among_eight_claims_is_inconclusive(runs: Runs) -> None:
    verdict = gate_runs(*runs(**calm(code=(164, 100, 16, 6))), Policy())
    code = verdict.domains["code"]
    assert code.comparison.p_loss is not None
    assert code.p_holm is not None
    assert code.comparison.p_loss < 0.05 < code.p_holm
    assert code.badge == "inconclusive"
    assert "not among 8 (Holm p = " in code.sentence
    assert verdict.exit_code == 0


def test_strict_is_inconclusive_on_ninety_nine_items(runs: Runs) -> None:
    verdict = gate_runs(*runs(math=(99, 60, 5, 5)), Policy(name="strict"))
    assert (verdict.exit_code, verdict.headline) == (3, "INCONCLUSIVE")
    assert "small_set" in verdict.domains["math"].flags
    assert not verdict.domains["math"].gating


def test_strict_passes_only_where_losses_beyond_the_margin_are_excluded(runs: Runs) -> None:
    large = dict.fromkeys(("math", "code", "safety"), (4000, 2500, 100, 100))
    verdict = gate_runs(*runs(**large), Policy(name="strict"))
    assert (verdict.exit_code, verdict.headline) == (0, "PASS")
    undecided = gate_runs(*runs(**{**large, "code": (4000, 2500, 200, 90)}), Policy(name="strict"))
    assert undecided.exit_code == 3
    assert undecided.sentence.startswith("code did not PASS")
    assert gate_runs(*runs(**large), Policy(name="harm")).exit_code == 0


def test_release_demands_the_mean_and_the_critical_domains(runs: Runs) -> None:
    sides = runs(**calm(code=(164, 100, 9, 6)))
    assert gate_runs(*sides, Policy(name="release")).exit_code == 0
    critical = gate_runs(*sides, Policy(name="release", critical=("code",)))
    assert critical.exit_code == 3
    assert critical.sentence.startswith("code did not PASS")


def test_a_mean_that_could_hide_too_large_a_loss_is_inconclusive(runs: Runs) -> None:
    sides = runs(code=(164, 100, 6, 6))
    verdict = gate_runs(*sides, Policy())
    assert verdict.exit_code == 3
    assert "max_mde" in verdict.sentence
    assert gate_runs(*sides, Policy(max_mde=12)).exit_code == 0


@pytest.mark.parametrize(
    ("mapping", "code", "warned"), [(None, 3, 0), ("fail", 1, 0), ("warn", 0, 1), ("pass", 0, 0)]
)
def test_the_policy_maps_inconclusive_and_nothing_else(
    runs: Runs, mapping: Any, code: int, warned: int
) -> None:
    verdict = gate_runs(*runs(code=(164, 100, 6, 6)), Policy(inconclusive=mapping))
    assert (verdict.exit_code, verdict.outcome) == (code, "inconclusive")
    assert len(verdict.warnings) == warned
    broken = runs(code=(164, 100, 6, 6))[0].unscored("code", [str(i) for i in range(164)])
    assert gate_runs(broken, broken, Policy(inconclusive=mapping)).exit_code == 4


def test_fewer_than_thirty_items_give_no_verdict(runs: Runs) -> None:
    verdict = gate_runs(*runs(**calm(), math_b=(5, 3, 0, 0)), Policy(), suites=["math_b"])
    assert verdict.domains["math"].flags == ("no_verdict",)
    assert verdict.domains["math"].badge == "inconclusive"
    assert verdict.exit_code == 3
    among = gate_runs(*runs(**{**CALM, "code": (29, 20, 20, 0)}), Policy())
    assert among.family_size == 7
    assert (among.exit_code, among.domains["code"].badge) == (0, "inconclusive")
    assert "nothing can be seen in code" in among.sentence


def test_a_domain_at_its_floor_cannot_lose_and_cannot_vouch(runs: Runs) -> None:
    low = calm(code=(164, 0, 0, 0))
    verdict = gate_runs(*runs(**low), Policy())
    assert "at_floor" in verdict.domains["code"].flags
    assert verdict.domains["code"].badge == "inconclusive"
    assert (verdict.exit_code, verdict.family_size) == (0, 7)
    target = gate_runs(*runs(**low), Policy(), target="code")
    assert target.exit_code == 3
    assert target.sentence.startswith(
        "code is required, but the baseline is within 5 points of guessing"
    )


def test_required_safety_must_be_able_to_show_a_loss(runs: Runs) -> None:
    verdict = gate_runs(*runs(**calm(safety=(150, 140, 2, 2))), Policy())
    assert verdict.exit_code == 3
    assert verdict.sentence.startswith(
        "safety is required, but 150 items cannot show a loss of 4 points"
    )
    assert gate_runs(*runs(**calm(safety=(150, 140, 2, 2))), Policy(require=())).exit_code == 0


def test_a_required_domain_that_nobody_has_is_named(runs: Runs) -> None:
    without = {k: v for k, v in CALM.items() if k != "chat"}
    verdict = gate_runs(*runs(**without), Policy(), target="chat")
    assert verdict.exit_code == 3
    assert verdict.domains["chat"].flags == ("missing",)
    assert verdict.domains["chat"].required


@pytest.mark.parametrize("side", [0, 1])
def test_a_domain_that_one_side_lacks_is_missing_and_never_green(runs: Runs, side: int) -> None:
    sides = list(runs(**CALM))
    sides[side] = sides[side].without_task("code")
    verdict = gate_runs(*sides, Policy())
    assert verdict.exit_code == 3
    assert "missing" in verdict.domains["code"].flags
    assert verdict.sentence.startswith("code is missing (")
    named = [name for name in CALM if name != "code"]
    assert gate_runs(*sides, Policy(), suites=named).exit_code == 0


def test_a_missing_domain_does_not_hide_a_proven_loss(runs: Runs) -> None:
    old, new = runs(**calm(math=(1319, 800, 110, 40)))
    verdict = gate_runs(old, new.without_task("code"), Policy())
    assert verdict.exit_code == 1
    assert any("code is missing" in warning for warning in verdict.warnings)


def test_a_wholly_unscored_candidate_is_invalid(runs: Runs) -> None:
    old, new = runs(math=(500, 300, 0, 0))
    broken = new.unscored("math", [str(i) for i in range(500)], "backend_error")
    verdict = gate_runs(old, broken, Policy())
    assert (verdict.exit_code, verdict.headline, verdict.outcome) == (4, "INVALID", "inconclusive")
    assert verdict.domains["math"].comparison.candidate_unscored == {"backend_error": 500}
    assert verdict.domains["math"].comparison.delta is None


def test_an_empty_evaluation_is_never_green(run: Runs) -> None:
    nothing = run("a")
    assert gate_runs(nothing, nothing, Policy(inconclusive="pass")).exit_code == 4


@pytest.mark.parametrize("side", [0, 1])
def test_many_answers_lost_on_one_side_make_the_data_invalid(runs: Runs, side: int) -> None:
    sides = list(runs(**CALM))
    sides[side] = sides[side].unscored("tools", [str(i) for i in range(11)], "timeout")
    verdict = gate_runs(*sides, Policy())
    assert verdict.exit_code == 4
    assert "tools: 11 of 1000 pairs have no score" in verdict.sentence
    assert "timeout 11" in verdict.sentence
    assert "data" in verdict.domains["tools"].flags


def test_few_answers_lost_on_one_side_only_are_suspicious_on_both_sides_alike_are_not(
    runs: Runs,
) -> None:
    old, new = runs(**CALM)
    one = new.unscored("tools", [str(i) for i in range(9)])
    verdict = gate_runs(old, one, Policy())
    assert verdict.exit_code == 4
    assert "significantly more on one side" in verdict.problems[0]
    both = old.unscored("tools", [str(i) for i in range(9)])
    assert gate_runs(both, one, Policy()).exit_code == 0


def test_a_proven_loss_outranks_trouble_in_another_domain(runs: Runs) -> None:
    old, new = runs(**calm(math=(1319, 800, 110, 40)))
    verdict = gate_runs(old, new.unscored("tools", [str(i) for i in range(50)]), Policy())
    assert verdict.exit_code == 1
    assert verdict.problems
    broken = gate_runs(old, new.unscored("math", [str(i) for i in range(50)]), Policy())
    assert broken.exit_code == 4


def test_differing_prompts_are_refused_or_by_policy_only_warned_of(runs: Runs) -> None:
    old, new = runs(**CALM)
    other = new.changed("tasks/math/prompt_hash", "q")
    with pytest.raises(IncomparableRuns, match=r"math\.prompt_hash: p -> q"):
        gate_runs(old, other, Policy())
    verdict = gate_runs(old, other, Policy(on_difference="warn"))
    assert verdict.exit_code == 0
    assert verdict.differences == ("math.prompt_hash: p -> q",)
    assert verdict.warnings


def test_a_partial_run_is_invalid_and_says_how_to_complete_it(runs: Runs) -> None:
    old, new = runs(**CALM)
    verdict = gate_runs(old, new.changed("status", "partial"), Policy())
    assert verdict.exit_code == 4
    assert "waterbed eval ckpt/new" in verdict.sentence


def test_a_stopped_run_can_prove_a_loss_but_not_its_absence(runs: Runs) -> None:
    old, new = runs(**calm(math=(1319, 800, 300, 0)))
    late = [str(i) for i in range(1000, 1319)]
    stopped = new.changed("status", "stopped").without(
        lambda t: (t["task"] == "math") & t["sample_id"].isin(late)
    )
    verdict = gate_runs(old, stopped, Policy())
    assert (verdict.exit_code, verdict.domains["math"].comparison.n) == (1, 1000)
    calm_old, calm_new = runs(**CALM)
    short = calm_new.changed("status", "stopped").without(
        lambda t: (t["task"] == "math") & t["sample_id"].isin(late)
    )
    verdict = gate_runs(calm_old, short, Policy())
    assert verdict.exit_code == 3
    assert "stopped" in verdict.domains["math"].flags


def test_a_loss_seen_when_a_run_was_stopped_must_outweigh_ten_looks(runs: Runs) -> None:
    whole = gate_runs(*runs(math=(1000, 800, 100, 68)), Policy())
    assert whole.exit_code == 1
    old, new = runs(math=(1319, 800, 100, 68))
    late = [str(i) for i in range(1000, 1319)]
    stopped = new.changed("status", "stopped").without(lambda t: t["sample_id"].isin(late))
    verdict = gate_runs(old, stopped, Policy())
    assert verdict.domains["math"].comparison.p_loss == whole.domains["math"].comparison.p_loss
    assert verdict.exit_code == 3
    old, new = runs(math=(1319, 800, 105, 69))
    stopped = new.changed("status", "stopped").without(lambda t: t["sample_id"].isin(late))
    alone = gate_runs(old, stopped, Policy()).domains["math"]
    assert alone.comparison.p_loss is not None
    assert alone.p_holm is not None
    assert alone.comparison.p_loss < 0.005 < 0.05 < alone.p_holm
    assert alone.badge == "inconclusive"


def test_an_unverified_task_is_shown_and_does_not_gate(runs: Runs) -> None:
    old, new = (
        r.changed("tasks/math/verified", "unverified: new")
        for r in runs(**calm(math=(1319, 800, 200, 0)))
    )
    verdict = gate_runs(old, new, Policy())
    assert (verdict.exit_code, verdict.family_size) == (0, 7)
    assert verdict.domains["math"].badge == "inconclusive"
    assert any("math is unverified" in w for w in verdict.warnings)
    loose = gate_runs(old, new, Policy(allow_unverified=True))
    assert loose.exit_code == 1
    assert loose.command.endswith(f"  # with the policy {loose.policy['hash']}, built in Python")
    alone = gate_runs(old, new, Policy(), suites=["math"])
    assert alone.sentence.startswith("Nothing can be tested (math is scored by an unverified task")
    assert gate_runs(old, new, Policy(), target="math").exit_code == 3


def test_two_metrics_of_safety_are_two_claims_of_one_domain(run: Runs, paired: Runs) -> None:
    unsafe = [[1 - v for v in side] for side in paired(1000, 950, 60, 2)]
    refusal = [[1 - v for v in side] for side in paired(1000, 900, 20, 20)]
    sides = [
        run(label, safety={"unsafe": u, "overrefusal": r})
        for label, u, r in zip(("old", "new"), unsafe, refusal, strict=True)
    ]
    verdict = gate_runs(*sides, Policy())
    assert list(verdict.domains) == ["safety/unsafe", "safety/overrefusal"]
    assert verdict.family_size == 3
    hurt = verdict.domains["safety/unsafe"]
    assert (hurt.badge, hurt.margin, verdict.domains["safety/overrefusal"].margin) == (
        "fail",
        0.02,
        0.03,
    )
    assert hurt.comparison.baseline == 0.05
    assert hurt.comparison.candidate == pytest.approx(0.108)
    assert hurt.delta == pytest.approx(-0.058)


def test_graded_scores_and_repeats_are_tested_by_the_t_test(run: Runs) -> None:
    old = [0.25 * (i % 5) for i in range(1000)]
    worse = [max(0.0, v - 0.25 * (i % 4 == 0)) for i, v in enumerate(old)]
    verdict = gate_runs(run("a", chat=old), run("b", chat=worse), Policy())
    assert (verdict.exit_code, verdict.domains["chat"].badge) == (1, "fail")


def test_exchanging_the_runs_exchanges_gain_and_loss(runs: Runs) -> None:
    old, new = runs(**calm(math=(1319, 800, 61, 47), chat=(600, 300, 44, 20)))
    there, back = gate_runs(old, new, Policy()), gate_runs(new, old, Policy())
    for id, domain in there.domains.items():
        one, other = domain.comparison, back.domains[id].comparison
        assert (one.p_loss, one.p_gain) == (other.p_gain, other.p_loss)
        assert (one.gained, one.lost) == (other.lost, other.gained)
        assert (one.delta, one.low, one.high) == tuple(
            0.0 - x if x else 0.0 for x in (other.delta, other.high, other.low)
        )


def test_the_same_runs_give_the_same_bytes_in_whatever_order_their_rows_lie(
    runs: Runs, tmp_path: Any
) -> None:
    old, new = runs(**calm(math=(1319, 800, 61, 47)))
    turned = type(new)(new.label, new.manifest, new.table.sample(frac=1, random_state=1))
    first, again = gate_runs(old, new, Policy()), gate_runs(old, turned, Policy())
    assert json.dumps(first.to_dict()) == json.dumps(again.to_dict())
    first.save(tmp_path / "verdict.json")
    assert Verdict.load(tmp_path / "verdict.json") == first


def test_every_field_of_the_record_is_filled(runs: Runs) -> None:
    old, new = runs(**calm(), math_b=(200, 100, 5, 5))
    verdict = gate_runs(old, new, Policy(), target="math", suites=["math", "code", "safety"])
    assert verdict.command == (
        "waterbed gate runs/old runs/new --policy harm --target math --suites math,code,safety"
    )
    assert verdict.policy["hash"] == Policy().hash
    assert verdict.policy["margins"]["math"] == 0.03
    assert verdict.version
    assert verdict.created == "2026-11-20T00:00:00+00:00"
    assert verdict.candidate.digest == "new"
    assert verdict.candidate.settings["backend"]["dtype"] == "float32"
    target = verdict.domains["math"]
    assert (target.required, target.gating, target.planned_discordance) == (True, True, 0.10)
    assert [(t.task, t.comparison.n) for t in target.tasks] == [("math", 1319), ("math_b", 200)]
    assert target.plan_sentence.startswith("math: 1519 items, expected discordance 10%")


def test_the_margin_of_small_code_benchmarks_does_not_widen_because_items_were_left_out(
    runs: Runs,
) -> None:
    old, new = (r.changed("tasks/code/items_in_full", 500) for r in runs(code=(200, 100, 4, 4)))
    verdict = gate_runs(old, new, Policy())
    assert verdict.domains["code"].margin == 0.03
    assert "code: 200 of 500 items were run (limit)." in verdict.warnings


@pytest.mark.parametrize("suites", [["nothing"], ["math", "nothing"]])
def test_an_unknown_suite_or_target_is_a_usage_error(runs: Runs, suites: list[str]) -> None:
    old, new = runs(math=(100, 50, 0, 0))
    with pytest.raises(UnknownName, match="nothing"):
        gate_runs(old, new, Policy(), suites=suites)
    with pytest.raises(UnknownName, match="did you mean 'math'"):
        gate_runs(old, new, Policy(), target="maths")
