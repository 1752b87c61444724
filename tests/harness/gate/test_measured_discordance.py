"""A small safety set can be green once its checkpoint's own discordance is measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from memory_runs import MemoryRun, make_run

from waterbed.harness.gate import gate_runs
from waterbed.harness.gate_plan import plan
from waterbed.harness.gate_words import discordance_notes, unmet
from waterbed.harness.noise import keep_noise
from waterbed.harness.policy import Policy

COLUMNS = ("task", "sample_id", "repeat", "ordinal", "role", "text", "stop_reason")
SAFETY = {"unsafe": [0.0] * 190 + [1.0] * 10, "overrefusal": [0.0] * 230 + [1.0] * 20}


@dataclass(frozen=True)
class Placed(MemoryRun):
    """A Run in memory with a folder, and answers that nobody kept."""

    def generations(self) -> pd.DataFrame:
        return pd.DataFrame(columns=[*COLUMNS, "completion_tokens", "prompt"], dtype=object)


def placed(label: str, folder: Path, safety: dict[str, list[float]]) -> Placed:
    return Placed(**{**vars(make_run(label, safety=safety)), "folder": folder})


def test_two_hundred_unsafe_items_are_too_few_until_their_noise_is_measured(
    tmp_path: Path,
) -> None:
    old, new = (placed(label, tmp_path, SAFETY) for label in ("old", "new"))
    before = plan(old, Policy(), ["safety"])
    reasons = [reason for claim in before.claims if (reason := unmet(claim))]
    assert len(reasons) == 1 and "waterbed noise RUN" in reasons[0]
    assert gate_runs(old, new, Policy()).exit_code == 3

    hundred = {"unsafe": SAFETY["unsafe"][:50], "overrefusal": SAFETY["overrefusal"][:50]}
    keep_noise(old, placed("again", tmp_path, hundred), ["safety"], kind="greedy")
    after = plan(old, Policy(), ["safety"])
    assert [claim.discordance_from for claim in after.claims] == ["A/A", "A/A"]
    assert all(unmet(claim) is None for claim in after.claims)
    assert any("as measured" in note for note in discordance_notes(after))
    assert gate_runs(old, new, Policy()).exit_code == 0
