"""Items in clusters: the robust error, what ignoring the clusters costs, one score a cluster."""

import math

import numpy as np
import pytest

from waterbed.harness.statistics.clusters import (
    clustered,
    clustered_interval,
    clustered_loss_p,
    clustered_z,
    one_score_per_cluster,
)
from waterbed.harness.statistics.normal import critical_value
from waterbed.harness.statistics.paired import loss_p, pair_scores, z_at

CRITICAL = critical_value(0.05)


def shared_shocks(
    rng: np.random.Generator, rounds: int, discordance: float = 0.1
) -> tuple[np.ndarray, np.ndarray]:
    """Null differences of 100 clusters of 5: thresholded normals that correlate by .7 inside."""
    common = rng.standard_normal((rounds, 100, 1))
    own = rng.standard_normal((rounds, 100, 5))
    x = math.sqrt(0.7) * common + math.sqrt(0.3) * own
    edge = critical_value(discordance / 2)
    d = (x > edge).astype(float) - (x < -edge)
    return d.reshape(rounds, 500), np.repeat(np.arange(100), 5)


@pytest.mark.parametrize(
    ("rounds", "most"), [(800, 0.07), pytest.param(8000, 0.06, marks=pytest.mark.study)]
)
def test_shared_shocks_alarm_as_often_as_asked_and_naive_errors_three_times_as_often(
    rounds: int, most: float
) -> None:
    draws, cluster = shared_shocks(np.random.default_rng(20261120), rounds)
    robust = [clustered_z(clustered(d, cluster.tolist())) <= -CRITICAL for d in draws]
    naive = draws.mean(axis=1) / (draws.std(axis=1) / math.sqrt(500)) <= -CRITICAL
    print(f"clusters: CR1 {np.mean(robust):.4f}, naive {np.mean(naive):.4f}")
    assert np.mean(robust) <= most
    assert np.mean(naive) >= 0.12


def test_clusters_of_one_size_are_the_t_test_of_their_means() -> None:
    rng = np.random.default_rng(1)
    d, names = rng.choice([-0.5, 0.0, 0.5], 160), np.repeat(np.arange(40), 4).tolist()
    estimate = clustered(d, names)
    means = pair_scores(
        one_score_per_cluster(0.5 - d / 2, names), one_score_per_cluster(0.5 + d / 2, names)
    )
    assert estimate.delta == pytest.approx(means.delta, abs=1e-12)
    assert estimate.se == pytest.approx(means.sd / math.sqrt(means.n), abs=1e-12)
    assert clustered_z(estimate, -0.03) == pytest.approx(z_at(means, -0.03), abs=1e-9)
    assert clustered_loss_p(estimate) == pytest.approx(loss_p(means), abs=1e-9)


def test_the_ends_of_the_interval_are_the_one_sided_tests() -> None:
    draws, cluster = shared_shocks(np.random.default_rng(2), 1)
    estimate = clustered(draws[0], cluster.tolist())
    low, high = clustered_interval(estimate, 0.9)
    assert clustered_z(estimate, low) == pytest.approx(CRITICAL, abs=1e-9)
    assert clustered_z(estimate, high) == pytest.approx(-CRITICAL, abs=1e-9)


def test_clusters_of_one_item_are_the_items() -> None:
    d = [0.0, 1.0, -1.0, 0.5, 0.0]
    estimate = clustered(d, list("abcde"))
    assert estimate.se == pytest.approx(estimate.se_iid, abs=1e-12)
    assert estimate.design_effect == pytest.approx(1.0)


def test_fewer_than_thirty_clusters_are_advisory() -> None:
    d = np.tile([1.0, -1.0], 60)
    assert clustered(d, (np.arange(120) % 29).tolist()).advisory
    assert not clustered(d, (np.arange(120) % 30).tolist()).advisory


def test_no_spread_gives_a_finite_z() -> None:
    estimate = clustered([0.0, 0.0, 0.0], ["a", "b", "b"])
    assert clustered_z(estimate) == 0.0
    assert clustered_z(estimate, -0.03) == 38.0
    assert estimate.design_effect is None


def test_scores_of_a_cluster_are_averaged_in_the_order_of_first_sight() -> None:
    seen = one_score_per_cluster([1.0, 0.0, 1.0, 0.5], ["b", "a", "b", "a"])
    assert seen.tolist() == [1.0, 0.25]


@pytest.mark.parametrize(
    ("d", "names", "says"),
    [
        ([0.1, 0.2], ["a"], "1 clusters"),
        ([], [], "one or more"),
        ([math.nan, 0.0], ["a", "b"], "finite"),
        ([0.1, 0.2], ["a", "a"], "got 1"),
    ],
)
def test_what_cannot_be_clustered_is_refused(d: list[float], names: list[str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        clustered(d, names)
