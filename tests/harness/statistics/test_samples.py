"""pass@k equals the reference's table and refuses what it cannot mean."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from waterbed.harness.statistics.samples import pass_at_k

VECTORS = Path(os.environ.get("WATERBED_VECTORS", "/nonexistent")) / "humaneval.json"


@pytest.mark.skipif(not VECTORS.is_file(), reason="WATERBED_VECTORS is not set")
def test_the_table_of_the_official_code_is_reproduced() -> None:
    rows = json.loads(VECTORS.read_text())["pass_at_k"]
    assert len(rows) > 300
    for row in rows:
        assert pass_at_k(row["n"], row["c"], row["k"]) == pytest.approx(row["pass_at_k"], abs=1e-12)


@pytest.mark.parametrize(("n", "c", "k"), [(3, 1, 4), (3, 4, 1), (3, -1, 1), (3, 1, 0)])
def test_impossible_counts_are_refused_with_the_values_seen(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match=f"n={n}, c={c}, k={k}"):
        pass_at_k(n, c, k)
