"""`waterbed plan` says before a run what the gate after it will hold to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from waterbed.harness.cost import expected_costs, seconds_per_token, unknown_costs
from waterbed.harness.gate_plan import plan
from waterbed.harness.policy import Policy
from waterbed.harness.run import Run

Command = Callable[..., Any]

SUITE = '''
from waterbed import Metric, Sample, Score, task
from waterbed.harness.tasks import Card

@task("plan/sums", domain="math", style="completion", card=Card("Sums.", verified="against sums"))
class Sums:
    """Sums."""
    def samples(self):
        return [Sample(str(n), f"{n}+1=", str(n + 1)) for n in range(400)]
    def prompt(self, sample):
        return sample.input
    def grade(self, sample, generation):
        return Score(float(generation.text == sample.target), extracted=generation.text)

@task("plan/risk", domain="safety", style="completion",
      metrics=(Metric("appropriate", gated=False), Metric("unsafe", better="lower")))
class Risk(Sums):
    """Risk, compared with nothing."""
'''


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    file = tmp_path / "sums.py"
    file.write_text(SUITE)
    return file


@pytest.fixture
def scored(waterbed: Command, suite: Path, tmp_path: Path) -> Path:
    """A Run of 400 sums of recorded answers, 300 of them right."""
    rows = [{"id": str(i), "response": str(i + 1 if i < 300 else -1)} for i in range(400)]
    responses = tmp_path / "a.jsonl"
    responses.write_text("".join(json.dumps(r) + "\n" for r in rows))
    only = tmp_path / "only.py"
    only.write_text(SUITE.split('@task("plan/risk"')[0])
    done = waterbed("score", only, "--responses", responses, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    return tmp_path / "run"


def planned(waterbed: Command, *arguments: object) -> dict[str, Any]:
    done = waterbed("plan", *arguments, "--json")
    assert done.code == 0, done.err
    said: dict[str, Any] = json.loads(done.out)
    return said


def claim(said: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in said["claims"] if c["claim"] == name)
    return found


def test_without_a_baseline_items_are_counted_and_costs_are_unknown_not_zero(
    waterbed: Command, suite: Path
) -> None:
    said = planned(waterbed, "--suites", suite)
    assert claim(said, "math")["items"] == 400
    task = next(t for t in said["tasks"] if t["task"] == "plan/sums")
    assert (task["items"], task["completion_tokens"], task["seconds"]) == (400, None, None)
    assert "Tokens and time are unknown" in waterbed("plan", "--suites", suite).out


def test_the_plan_against_a_baseline_is_the_one_the_gate_freezes(
    waterbed: Command, scored: Path
) -> None:
    said = claim(planned(waterbed, "--baseline", scored), "math")
    frozen = plan(Run.open(scored), Policy(), ["plan/sums"]).claims[0]
    assert frozen.numbers is not None
    assert said["blind_spot"] == frozen.blind_spot
    assert said["items_needed"] == frozen.numbers.items_needed
    assert said["chances"]["no_change"]["pass"] == frozen.numbers.p_pass


def test_counting_items_and_reading_a_baseline_agree_where_nothing_sits_at_its_floor(
    waterbed: Command, scored: Path, suite: Path
) -> None:
    with_run = claim(planned(waterbed, "--baseline", scored), "math")
    only = suite.with_name("only.py")
    assert claim(planned(waterbed, "--suites", only), "math") == with_run


def test_fewer_items_see_less(waterbed: Command, scored: Path) -> None:
    all_, some = (planned(waterbed, "-b", scored, *more) for more in ([], ["--limit", 100]))
    assert claim(some, "math")["items"] == 100
    assert claim(some, "math")["blind_spot"] > claim(all_, "math")["blind_spot"]
    assert some["tasks"][0]["items"] == 100


def test_a_limited_baseline_is_cut_to_the_items_that_eval_would_choose(
    waterbed: Command, scored: Path, suite: Path, tmp_path: Path
) -> None:
    from waterbed.harness.planned_run import shortened

    only, rows = suite.with_name("only.py"), tmp_path / "a.jsonl"
    waterbed("score", only, "--responses", rows, "--limit", 50, "--out", tmp_path / "few")
    cut, real = shortened(Run.open(scored), 50).scores(), Run.open(tmp_path / "few").scores()
    assert sorted(cut["sample_id"]) == sorted(real["sample_id"])
    assert len(cut) == 50


def test_a_baseline_with_fewer_items_than_the_policy_wants_cannot_be_green_and_says_so(
    waterbed: Command, scored: Path, suite: Path, tmp_path: Path
) -> None:
    only, rows = suite.with_name("only.py"), tmp_path / "a.jsonl"
    waterbed("score", only, "--responses", rows, "--limit", 350, "--out", tmp_path / "few")
    said = planned(waterbed, "--baseline", tmp_path / "few")
    assert "350 of 400 items" in said["blockers"][0]
    fits = planned(waterbed, "--baseline", tmp_path / "few", "--limit", 350)
    assert not any("350 of 400" in reason for reason in fits["blockers"])
    assert "Cannot be green as planned" in waterbed("plan", "-b", tmp_path / "few").out


def test_an_unverified_task_is_listed_as_not_tested(waterbed: Command, suite: Path) -> None:
    said = claim(planned(waterbed, "--suites", suite), "safety")
    assert not said["can_fail"]
    assert said["chances"]["no_change"] is None
    assert "not tested: unverified" in waterbed("plan", "--suites", suite).out


def test_several_samples_an_item_narrow_what_can_be_seen_and_multiply_the_answers(
    waterbed: Command, suite: Path
) -> None:
    one, many = (planned(waterbed, "-s", suite, *more) for more in ([], ["--repeats", 16]))
    assert claim(many, "math")["blind_spot"] < claim(one, "math")["blind_spot"]
    assert next(t for t in many["tasks"] if t["task"] == "plan/sums")["repeats"] == 16
    assert "several answers an item" in many["notes"][0]


def test_repeats_that_the_baseline_does_not_have_are_refused(
    waterbed: Command, scored: Path
) -> None:
    done = waterbed("plan", "--baseline", scored, "--repeats", 4)
    assert done.code == 2
    assert "--repeats 4" in done.err


def test_the_exit_codes_are_the_policys(waterbed: Command, suite: Path, tmp_path: Path) -> None:
    assert "0 no harm shown, 1 a proven loss" in planned(waterbed, "-s", suite)["exit_codes"]
    policy = tmp_path / "gate.yaml"
    policy.write_text("name: strict\ninconclusive: warn\n")
    said = planned(waterbed, "-s", suite, "--policy", policy)["exit_codes"]
    assert "0 PASS" in said and "makes it 0 with a warning" in said


def test_a_policys_suites_are_planned_and_nothing_at_all_is_a_usage_error(
    waterbed: Command, suite: Path, tmp_path: Path
) -> None:
    policy = tmp_path / "gate.yaml"
    policy.write_text(f"suites: ['{suite}']\n")
    assert claim(planned(waterbed, "--policy", policy), "math")["items"] == 400
    done = waterbed("plan")
    assert done.code == 2
    assert "--suites" in done.err and "--baseline" in done.err


def test_a_waived_claim_is_planned_all_the_same_and_marked(
    waterbed: Command, suite: Path, tmp_path: Path
) -> None:
    policy = tmp_path / "gate.yaml"
    policy.write_text("waivers: [{claim: math, owner: mia, reason: known, expires: 9999-12-31}]\n")
    said = claim(planned(waterbed, "-s", suite, "-p", policy), "math")
    assert said["can_fail"] and said["waived_until"] == "9999-12-31"
    shown = waterbed("plan", "-s", suite, "-p", policy).out
    assert "can FAIL, waived until 9999-12-31" in " ".join(shown.split())


def test_a_required_domain_that_is_not_planned_is_named(waterbed: Command, suite: Path) -> None:
    said = planned(waterbed, "--suites", suite, "--target", "code")
    assert any(reason.startswith("code is required") for reason in said["blockers"])
    assert waterbed("plan", "--suites", suite, "--target", "cod").code == 2


def test_tokens_and_time_are_those_of_an_earlier_run_scaled_to_the_answers(
    waterbed: Command, pocket_base: Any, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    checkpoint = ("eval", pocket_base.path, "-s", "pocket/math", "--limit", 8, "--threads", 1)
    assert waterbed(*checkpoint, "--out", out, "--no-cache").code == 0
    cost = Run.open(out).manifest["cost"]
    found = planned(waterbed, "--baseline", out, "--limit", 4)["tasks"][0]
    assert found["prompt_tokens"] == round(cost["prompt_tokens"] / 2)
    assert found["completion_tokens"] == round(cost["completion_tokens"] / 2)
    whole = expected_costs(Run.open(out), unknown_costs(Run.open(out).manifest["tasks"]))[0]
    assert found["seconds"] == pytest.approx(cost["wall_s"] / 2)
    assert whole.seconds == pytest.approx(cost["wall_s"])


def test_cached_and_recorded_answers_measure_no_time(scored: Path) -> None:
    run = Run.open(scored)
    assert seconds_per_token(run) is None
    live = {"kind": "eval", "cost": {"wall_s": 2.0, "prompt_tokens": 3, "completion_tokens": 1}}
    assert seconds_per_token(Run(run.path, live)) == 0.5
    live["cost"] = {**live["cost"], "cached_answers": 1}  # type: ignore[dict-item]
    assert seconds_per_token(Run(run.path, live)) is None


def test_the_looks_of_a_live_gate_and_their_seed_are_in_the_plan(
    waterbed: Command, scored: Path
) -> None:
    said = planned(waterbed, "--baseline", scored)["looks"]
    assert said["seed"] == 0
    assert said["claims"]["math"]["units"] == list(range(40, 401, 40))
    assert len(said["claims"]["math"]["bounds_fail"]) == 10
    assert said["mean_tenths"] == list(range(3, 11))
    assert planned(waterbed, "--baseline", scored)["looks"]["frame"] == said["frame"]


def test_without_a_baseline_there_are_no_items_to_cut(waterbed: Command, suite: Path) -> None:
    assert planned(waterbed, "--suites", suite)["looks"] is None
