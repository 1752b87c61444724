"""A small safety set can be green once its checkpoint's own discordance is measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
class Placed:
    """A Run in memory with a folder, and answers that nobody kept."""

    run: MemoryRun
    path: Path

    @property
    def label(self) -> str:
        return self.run.label

    @property
    def status(self) -> str:
        return self.run.status

    @property
    def manifest(self) -> dict[str, Any]:
        return self.run.manifest

    def scores(self) -> pd.DataFrame:
        return self.run.scores()

    def generations(self) -> pd.DataFrame:
        columns = [*COLUMNS, "completion_tokens", "prompt"]
        return pd.DataFrame(columns=columns, dtype=object)


def test_two_hundred_unsafe_items_are_too_few_until_their_noise_is_measured(
    tmp_path: Path,
) -> None:
    old, new = (Placed(make_run(x, safety=SAFETY), tmp_path) for x in ("old", "new"))
    before = plan(old, Policy(), ["safety"])
    reasons = [reason for claim in before.claims if (reason := unmet(claim))]
    assert len(reasons) == 1 and "waterbed noise RUN" in reasons[0]
    assert gate_runs(old, new, Policy()).exit_code == 3

    hundred = {"unsafe": SAFETY["unsafe"][:50], "overrefusal": SAFETY["overrefusal"][:50]}
    keep_noise(old, Placed(make_run("again", safety=hundred), tmp_path), ["safety"], kind="greedy")
    after = plan(old, Policy(), ["safety"])
    assert [claim.discordance_from for claim in after.claims] == ["A/A", "A/A"]
    assert all(unmet(claim) is None for claim in after.claims)
    assert any("as measured" in note for note in discordance_notes(after))
    assert gate_runs(old, new, Policy()).exit_code == 0
