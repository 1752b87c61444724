"""pass@k and pass^k equal the reference's table and refuse what they cannot mean."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import pytest

from waterbed.harness.statistics.samples import pass_at_k, pass_hat_k

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


def test_the_chance_that_all_answers_are_right_is_counted_over_all_draws() -> None:
    for n, c, k in [(4, 3, 2), (5, 0, 1), (6, 6, 6), (6, 2, 3)]:
        draws = [set(draw) for draw in itertools.combinations(range(n), k)]
        all_right = sum(max(draw) < c for draw in draws)  # the first c are right
        assert pass_hat_k(n, c, k) == pytest.approx(all_right / len(draws))
    with pytest.raises(ValueError, match="n=3, c=4, k=1"):
        pass_hat_k(3, 4, 1)
