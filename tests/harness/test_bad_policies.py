"""Bad policies are refused on the command line, with the line and the reason, before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
WAIVER = "waivers:\n  - claim: {}\n    owner: ada\n    reason: known\n    expires: {}\n"
BAD = {
    "margins: {math: 0}\n": (1, "greater than or equal to 0.1 (got 0)"),
    "name: harm\nalpha_fail: 2\n": (2, "less than 0.5 (got 2)"),
    "margins:\n  maths: 3\n": (2, "there is no domain 'maths'; did you mean 'math'?"),
    WAIVER.format("code", "2020-01-01"): (5, "this waiver expired on 2020-01-01"),
    WAIVER.format("cod", "2999-01-01"): (2, "there is no domain 'cod'; did you mean 'code'?"),
    "drift: [loops]\n": (1, "'loop'"),
    "validity:\n  truncatd: 0.1\n": (2, "'truncated'"),
    "validity: {truncated: 5}\n": (1, "less than or equal to 1 (got 5)"),
}


@pytest.mark.parametrize("text", BAD)
def test_a_bad_policy_is_a_usage_error_with_its_line_and_the_reason(
    waterbed: Command, tmp_path: Path, text: str
) -> None:
    line, reason = BAD[text]
    policy = tmp_path / "gate.yaml"
    policy.write_text(text)
    done = waterbed("gate", tmp_path, tmp_path, "--policy", policy)
    assert done.code == 2
    assert f"gate.yaml:{line}: " in done.err and reason in done.err
    assert list(tmp_path.iterdir()) == [policy]
