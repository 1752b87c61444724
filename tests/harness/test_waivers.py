"""A waiver lets a known loss through for a while, in somebody's name; nothing else."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from waterbed.harness.errors import ConfigError
from waterbed.harness.policy import Policy, Waiver
from waterbed.harness.waivers import apply, warning

TODAY = date.today()  # noqa: DTZ011 - as the policy reads it


def waiver(claim: str, **changes: str) -> Waiver:
    said = {"owner": "mia", "reason": "new tokenizer", "expires": str(TODAY), **changes}
    return Waiver.model_validate({"claim": claim, **said})


def refusal(tmp_path: Path, text: str) -> str:
    file = tmp_path / "gate.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        Policy.load(file)
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_a_waived_loss_is_parted_from_those_that_stay_red() -> None:
    code = waiver("code")
    assert apply(("math", "code", "chat"), [code]) == (("math", "chat"), (("code", code),))


def test_a_waiver_of_something_that_is_not_lost_does_nothing() -> None:
    assert apply(("math",), [waiver("code")]) == (("math",), ())
    assert apply((), [waiver("code")]) == ((), ())


def test_the_waiver_of_a_domain_covers_its_claims_but_a_claims_own_comes_first() -> None:
    whole, own = waiver("safety"), waiver("safety/unsafe", owner="joe")
    lost = ("safety/unsafe", "safety/overrefusal")
    kept, waived = apply(lost, [whole, own])
    assert kept == ()
    assert dict(waived) == {"safety/unsafe": own, "safety/overrefusal": whole}


def test_the_waiver_of_one_metric_covers_no_other() -> None:
    lost = ("safety/overrefusal", "safety")
    assert apply(lost, [waiver("safety/unsafe")]) == (lost, ())


def test_the_mean_over_domains_cannot_be_waived() -> None:
    assert apply(("", "code"), [waiver("code")])[0] == ("",)


def test_a_waived_loss_is_shown_with_its_owner_reason_and_day() -> None:
    until = waiver("code", expires="9999-12-31")
    assert warning("code", until) == (
        "code is lost and waived until 9999-12-31 by mia: new tokenizer"
    )


def test_a_waiver_holds_on_its_last_day_and_not_after(tmp_path: Path) -> None:
    assert waiver("code", expires=str(TODAY)).expires == TODAY
    yesterday = TODAY - timedelta(days=1)
    text = (
        f"waivers:\n  - claim: code\n    owner: mia\n    reason: known\n    expires: {yesterday}\n"
    )
    said = refusal(tmp_path, text)
    assert said.startswith(f"gate.yaml:5: 'waivers.0.expires': this waiver expired on {yesterday}")
    assert "renew" in said


@pytest.mark.parametrize("key", ["owner", "reason", "expires", "claim"])
def test_a_waiver_without_owner_reason_claim_or_day_is_refused(key: str, tmp_path: Path) -> None:
    said = {"claim": "code", "owner": "mia", "reason": "known", "expires": str(TODAY)}
    del said[key]
    text = "name: harm\nwaivers:\n  - " + "\n    ".join(f"{k}: {v}" for k, v in said.items())
    assert refusal(tmp_path, text) == f"gate.yaml:3: the key 'waivers.0.{key}' is missing; add it"


def test_an_empty_owner_or_reason_is_none(tmp_path: Path) -> None:
    text = f'waivers: [{{claim: code, owner: " ", reason: "", expires: {TODAY}}}]\n'
    lines = refusal(tmp_path, text).splitlines()
    assert [line.split("'")[1] for line in lines] == ["waivers.0.owner", "waivers.0.reason"]


def test_a_waiver_of_an_unknown_domain_is_refused_with_the_nearest(tmp_path: Path) -> None:
    text = f"waivers:\n- {{claim: cod, owner: a, reason: b, expires: {TODAY}}}\n"
    assert "gate.yaml:2: 'waivers.0.claim': there is no domain 'cod'; did you mean 'code'?" in (
        refusal(tmp_path, text)
    )


@pytest.mark.parametrize("day", ["soon", "31.12.2026", "2026-02-30", "never"])
def test_a_day_is_written_in_one_way(day: str, tmp_path: Path) -> None:
    text = f"waivers:\n- {{claim: code, owner: a, reason: b, expires: {day}}}\n"
    said = refusal(tmp_path, text)
    assert "gate.yaml:2: 'waivers.0.expires'" in said and "like 2026-12-31" in said and day in said


def test_one_claim_has_one_waiver(tmp_path: Path) -> None:
    one = f"- {{claim: code, owner: a, reason: b, expires: {TODAY}}}\n"
    assert "gate.yaml:1: 'waivers': 'code' is waived twice" in refusal(
        tmp_path, f"waivers:\n{one}{one}"
    )


def test_waivers_are_part_of_the_policys_hash() -> None:
    assert Policy(waivers=(waiver("code"),)).hash != Policy().hash


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "margins:\n  math: 0\n",
            "gate.yaml:2: 'margins.math' should be greater than or equal to 0.1",
        ),
        ("alpha_fail: 2\n", "gate.yaml:1: 'alpha_fail' should be less than 0.5 (got 2)"),
        ("require: [maths]\n", "gate.yaml:1: 'require.0': there is no domain 'maths'"),
        ("waivers: {claim: code}\n", "gate.yaml:1: 'waivers' should be a list (got a mapping)"),
        ("waivers: [code]\n", "gate.yaml:1: 'waivers.0' should be a mapping of keys (got 'code')"),
        ("max_dropped: 0.5\n", "gate.yaml:1: 'max_dropped' should be less than or equal to 0.2"),
        ("max_mde: 0\n", "gate.yaml:1: 'max_mde' should be greater than or equal to 0.1"),
    ],
)
def test_bad_policies_are_refused_with_the_line_and_the_reason(
    text: str, wanted: str, tmp_path: Path
) -> None:
    assert refusal(tmp_path, text).startswith(wanted)
