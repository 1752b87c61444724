"""Items that share a fact: the cluster is what was observed, and the verdict says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from waterbed.harness.gate import gate_runs
from waterbed.harness.gate_plan import plan
from waterbed.harness.gate_units import sampling, unit_pairs
from waterbed.harness.pairing import claims, pair
from waterbed.harness.policy import Policy
from waterbed.harness.statistics.clusters import clustered, clustered_interval, clustered_loss_p
from waterbed.harness.statistics.paired import interval, loss_p

Run = Callable[..., Any]
POLICY = Policy(max_mde=20)


def in_clusters(run: Any, size: int) -> Any:
    """The same Run with its items in clusters of neighbors."""
    names = [f"fact{int(id) // size}" for id in run.table["sample_id"]]
    return replace(run, table=run.table.assign(cluster=names))


def facts(run: Run, clusters: int = 100, lost: int = 14, gained: int = 6) -> tuple[Any, Any]:
    """Five prompts a fact; a model knows a fact or does not."""
    changes = [(1.0, 0.0)] * lost + [(0.0, 1.0)] * gained
    kept = [(1.0, 1.0)] * (clusters - len(changes))
    old, new = zip(*[pair for pair in changes + kept for _ in range(5)], strict=True)
    return run("old", knowledge=list(old)), run("new", knowledge=list(new))


def test_facts_asked_five_times_are_counted_once(run: Run) -> None:
    old, new = facts(run)
    naive = gate_runs(old, new, POLICY)
    assert naive.domains["knowledge"].badge == "fail"
    assert naive.domains["knowledge"].unit == "item"
    verdict = gate_runs(in_clusters(old, 5), in_clusters(new, 5), POLICY)
    found = verdict.domains["knowledge"]
    assert (naive.exit_code, verdict.exit_code) == (1, 3)
    assert (found.badge, found.unit, found.units) == ("inconclusive", "cluster", 100)
    assert (found.comparison.n, found.comparison.lost, found.comparison.gained) == (500, 70, 30)
    assert found.delta == naive.domains["knowledge"].delta
    assert found.sentence.endswith("The unit is the cluster: 500 items in 100 clusters.")
    assert "500 items in 100 clusters; the unit is the cluster." in found.plan_sentence
    assert "knowledge: 100 clusters, " in found.plan_sentence


def test_the_error_of_uneven_clusters_is_the_cluster_robust_one(run: Run) -> None:
    old, new = facts(run, lost=20, gained=10)
    keep = [i for i in range(500) if i % 5 < 1 + (i // 5) % 5]  # one to five items a cluster
    left = [
        in_clusters(r, 5).without_items("knowledge", [str(i) for i in range(500) if i not in keep])
        for r in (old, new)
    ]
    (claim,) = claims(old.manifest["tasks"])
    paired = pair([claim], left[0].table, left[1].table)["knowledge"]
    found = clustered(paired.candidate - paired.baseline, list(paired.unit))
    pairs = unit_pairs(paired)
    assert (pairs.n, paired.n) == (100, len(keep))
    assert pairs.delta == pytest.approx(found.delta, abs=1e-12)
    assert loss_p(pairs) == pytest.approx(clustered_loss_p(found), rel=1e-9)
    assert interval(pairs)[1] == pytest.approx(clustered_interval(found)[1], abs=1e-12)


def test_fewer_than_thirty_clusters_are_advisory_and_never_red(run: Run) -> None:
    old, new = (in_clusters(r, 5) for r in facts(run, clusters=29, lost=29, gained=0))
    verdict = gate_runs(old, new, Policy(max_mde=20))
    found = verdict.domains["knowledge"]
    assert (found.badge, found.gating, found.flags) == ("inconclusive", False, ("no_verdict",))
    assert "145 items in 29 clusters, fewer than 30 clusters" in verdict.sentence
    assert found.sentence.endswith("fewer than 30 clusters are advisory.")
    assert verdict.exit_code == 3


def test_what_can_be_seen_is_planned_by_clusters(run: Run) -> None:
    old, _ = facts(run)
    alone = plan(old, POLICY, ["knowledge"]).claims[0]
    together = plan(in_clusters(old, 5), POLICY, ["knowledge"]).claims[0]
    assert (together.items, together.units, alone.units) == (500, 100, 500)
    assert together.blind_spot is not None
    assert alone.blind_spot is not None
    assert together.blind_spot > 2 * alone.blind_spot


def test_one_side_with_clusters_is_enough(run: Run) -> None:
    old, new = facts(run)
    assert gate_runs(old, in_clusters(new, 5), POLICY).domains["knowledge"].units == 100
    assert gate_runs(in_clusters(old, 5), new, POLICY).domains["knowledge"].units == 100


def test_an_item_without_a_cluster_stands_alone(run: Run) -> None:
    old, new = facts(run)
    table = in_clusters(new, 5).table
    table.loc[table.index >= 250, "cluster"] = None
    some = replace(new, table=table)
    assert gate_runs(old, some, POLICY).domains["knowledge"].units == 50 + 250


def test_clusters_in_which_nothing_changed_are_no_certainty(run: Run) -> None:
    old, _ = (in_clusters(r, 5) for r in facts(run))
    found = gate_runs(old, old, POLICY).domains["knowledge"]
    assert "no cluster changed" in found.sentence
    assert "(n=100)" in found.sentence
    assert found.comparison.low is not None
    assert found.comparison.low < -0.02


def test_several_samples_an_item_say_what_their_error_is_made_of(run: Run) -> None:
    old, new = (run(label, math=[float(i % 3 > 0) for i in range(200)]) for label in "ab")

    def twice(r: Any, flipped: int) -> Any:
        other = [1 - v if i % flipped == 0 else v for i, v in enumerate(r.table["value"])]
        table = pd.concat([r.table, r.table.assign(repeat=1, value=other)], ignore_index=True)
        return replace(r, table=table).changed("tasks/math/repeats", 2)

    left, right = twice(old, 3), twice(new, 4)
    (claim,) = claims(left.manifest["tasks"])
    parts = sampling(pair([claim], left.table, right.table)["math"])
    assert parts is not None
    assert parts.se_endless_samples < parts.se
    sentence = gate_runs(left, right, POLICY).domains["math"].sentence
    assert "with endless samples an item; more samples help more." in sentence
