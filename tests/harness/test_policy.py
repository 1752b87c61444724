"""The policy file: points in, proportions kept, typing mistakes named with their line."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from waterbed.harness.drift import METRICS
from waterbed.harness.errors import ConfigError, UsageError
from waterbed.harness.policy import DRIFT_METRICS, Policy


def policy_of(tmp_path: Path, text: str) -> Policy:
    file = tmp_path / "gate.yaml"
    file.write_text(text, encoding="utf-8")
    return Policy.load(file)


def test_without_a_file_the_policy_is_harm() -> None:
    assert Policy.load(None) == Policy()
    assert Policy().name == "harm"


@pytest.mark.parametrize("name", ["harm", "release", "strict"])
def test_a_bundled_policy_is_loaded_by_its_name(name: str) -> None:
    assert Policy.load(name).name == name
    assert Policy.load(name).reference == name


def test_points_in_the_file_are_proportions_in_the_policy(tmp_path: Path) -> None:
    policy = policy_of(
        tmp_path, "margins: {math: 3, safety/unsafe: 0.7}\nmax_mde: 2.5\nmean_harm: 1\n"
    )
    assert policy.margins == {"math": 0.03, "safety/unsafe": 0.007}
    assert (policy.max_mde, policy.mean_harm) == (0.025, 0.01)


def test_a_proportion_written_where_points_belong_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"greater than or equal to 0\.1"):
        Policy(margins={"math": 0.03})


def test_every_mistake_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        policy_of(
            tmp_path,
            "name: hamr\nalpha_pas: 0.1\nmargins:\n  maths: 3\n  code: -1\nalpha_fail: 0.7\n",
        )
    lines = str(caught.value).replace(str(tmp_path), "").splitlines()
    assert lines == [
        "/gate.yaml:1: 'name' should be 'harm', 'release' or 'strict' (got 'hamr')",
        "/gate.yaml:2: unknown key 'alpha_pas'; did you mean 'alpha_pass'? (got 0.1)",
        "/gate.yaml:4: 'margins.maths': there is no domain 'maths'; did you mean 'math'? (got 'maths')",
        "/gate.yaml:5: 'margins.code' should be greater than or equal to 0.1 (got -1)",
        "/gate.yaml:6: 'alpha_fail' should be less than 0.5 (got 0.7)",
    ]


@pytest.mark.parametrize("key", ["require", "critical"])
def test_required_domains_must_exist(key: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gate\.yaml:1: .*no domain 'saftey'.*'safety'"):
        policy_of(tmp_path, f"{key}: [saftey]\n")


def test_a_name_that_is_neither_a_file_nor_a_policy_says_so() -> None:
    with pytest.raises(UsageError, match=r"no policy 'strickt'.*harm, release, strict"):
        Policy.load("strickt")


def test_a_policy_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Policy().alpha_pass = 0.5  # type: ignore[misc]


def test_the_more_exact_margin_wins_then_the_domain_then_the_task_then_the_default() -> None:
    policy = Policy(margins={"safety": 4, "safety/unsafe": 1})
    assert policy.margin("safety", "unsafe", declared=0.1, small=False) == 0.01
    assert policy.margin("safety", "overrefusal", declared=0.1, small=False) == 0.04
    assert policy.margin("math", "correct", declared=0.1, small=False) == 0.1
    assert policy.margin("math", "correct", declared=None, small=False) == 0.03
    assert Policy().margin("safety", "overrefusal", declared=None, small=False) == 0.03


def test_only_a_small_code_benchmark_has_the_wider_default() -> None:
    assert Policy().margin("code", "passed", declared=None, small=True) == 0.05
    assert Policy().margin("code", "passed", declared=None, small=False) == 0.03
    assert Policy().margin("math", "correct", declared=None, small=True) == 0.03
    strict = Policy(margins={"code": 2})
    assert strict.margin("code", "passed", declared=None, small=True) == 0.02


def test_the_planned_discordance_is_the_policys_or_the_tables() -> None:
    policy = Policy(discordance={"math": 0.06})
    assert policy.own_discordance("math", "correct") == 0.06
    assert policy.own_discordance("chat", "win") is None
    assert policy.table_discordance("chat") == 0.1225
    assert policy.table_discordance("code") == 0.10


def test_the_drift_that_can_fail_is_the_hard_drift_that_is_measured() -> None:
    hard = {metric.name for metric in METRICS if metric.kind == "hard"}
    assert {*DRIFT_METRICS} == hard | {"length"}  # hard where a judge votes


WAIVER = "waivers:\n  - claim: {}\n    owner: ada\n    reason: known\n    expires: 2999-01-01\n"


def test_a_claim_that_its_domain_does_not_make_is_refused_with_its_line(tmp_path: Path) -> None:
    claims = {"safety/unsafe": "safety/unsafe", "math": "math/correct"}
    text = "margins: {math/correct: 3, code/x: 2}\n" + WAIVER.format("safety/unsaf")
    with pytest.raises(ConfigError) as caught:
        policy_of(tmp_path, text).check_claims(claims)
    assert str(caught.value).removeprefix(str(tmp_path)) == (
        "/gate.yaml:3: 'waivers.0.claim': no claim of this gate is called 'safety/unsaf'; "
        "did you mean 'safety/unsafe'?"
    )
    with pytest.raises(ConfigError, match=r":2: .*did you mean 'math'\?"):
        policy_of(tmp_path, WAIVER.format("math/correct")).check_claims(claims)
    policy_of(tmp_path, WAIVER.format("code/anything")).check_claims(claims)


def test_the_target_and_safety_are_required_unless_the_policy_lists_others() -> None:
    assert Policy().requires("safety", "safety/unsafe", None)
    assert Policy().requires("math", "math", "math")
    assert not Policy().requires("math", "math", "code")
    listed = Policy(require=("math",))
    assert listed.requires("math", "math", None)
    assert not listed.requires("safety", "safety/unsafe", "safety")


def test_the_hash_is_of_the_policy_after_defaults(tmp_path: Path) -> None:
    spelled = policy_of(tmp_path, "alpha_pass: 0.05\nmax_mde: 3\n")
    assert spelled.hash == Policy().hash
    assert Policy(margins={"math": 4}).hash != Policy().hash
    assert spelled.resolved()["margins"]["math"] == 0.03
    assert spelled.reference.endswith("gate.yaml")


def test_what_the_command_line_needs_is_kept(tmp_path: Path) -> None:
    policy = policy_of(
        tmp_path, "suites: [pocket]\nsettings: {max_tokens: 8}\nbackend: transformers\n"
    )
    assert policy.suites == ("pocket",)
    assert (policy.settings, policy.backend) == ({"max_tokens": 8}, "transformers")
