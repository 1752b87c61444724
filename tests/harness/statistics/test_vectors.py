"""Published examples and reference computations, each at its own tolerance."""

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from waterbed.harness.statistics import agreement, distributions, evalues, pareto, samples
from waterbed.harness.statistics.boundaries import boundary, crossing_probability, spent
from waterbed.harness.statistics.bradley_terry import elo, fit
from waterbed.harness.statistics.clusters import clustered
from waterbed.harness.statistics.decision import decide
from waterbed.harness.statistics.eprocess import (
    PRIOR_ITEMS,
    PRIOR_VARIANCE,
    Side,
    log_wealth,
    p_anytime,
)
from waterbed.harness.statistics.families import benjamini_hochberg, holm
from waterbed.harness.statistics.matrix import backward_transfer, final_mean, forgetting
from waterbed.harness.statistics.mcnemar import (
    exact_loss,
    exact_two_sided,
    midp_loss,
    midp_two_sided,
    sign_flip_loss,
)
from waterbed.harness.statistics.normal import critical_value, upper_tail
from waterbed.harness.statistics.operating import fail_probability, pass_probability
from waterbed.harness.statistics.paired import (
    equivalence_p,
    pair_counts,
    pair_scores,
    t_statistic,
    t_upper_tail,
)
from waterbed.harness.statistics.proportions import newcombe_interval, wilson_interval
from waterbed.harness.statistics.ranking import Versus, rank_intervals
from waterbed.harness.statistics.sequential import LookResult, look, plan_looks
from waterbed.harness.statistics.tango import tango_interval, tango_z
from waterbed.harness.statistics.two_level import item_variance
from waterbed.harness.statistics.waterbed import name_waterbed


def mcnemar(b: int, c: int) -> dict[str, Any]:
    z = float(tango_z(b, c, max(1, b + c), 0.0))
    return {
        "p_exact_two_sided": exact_two_sided(b, c),
        "p_midp_two_sided": midp_two_sided(b, c),
        "chi2_asymptotic": z * z,
        "p_asymptotic_two_sided": 2 * upper_tail(abs(z)),
        "p_midp_loss": float(midp_loss(b, c)),
        "p_exact_loss": exact_loss(b, c),
    }


def wilson_ci(x: int, n: int, conf: float) -> dict[str, Any]:
    low, high = wilson_interval(x, n, conf)
    return {"low": low, "high": high}


def newcombe_paired_ci(n11: int, n10: int, n01: int, n00: int, conf: float) -> dict[str, Any]:
    low, high = newcombe_interval(n11, n10, n01, n00, conf)
    return {"delta": (n10 - n01) / (n11 + n10 + n01 + n00), "low": low, "high": high}


def tango_ci(n11: int, n10: int, n01: int, n00: int, conf: float) -> dict[str, Any]:
    n = n11 + n10 + n01 + n00
    low, high = tango_interval(n10, n01, n, conf)
    return {"delta": (n10 - n01) / n, "low": float(low), "high": float(high)}


def noninferiority_tango(b: int, c: int, n: int, margin: float) -> dict[str, Any]:
    decision = decide(pair_counts(b, c, n), margin)
    return {"z": decision.z_pass, "p": decision.p_pass, "delta": decision.delta}


def holm_bh(p: list[float], alpha: float) -> dict[str, Any]:
    stepped, discovered = holm(p), benjamini_hochberg(p)
    return {
        "holm_adjusted": stepped,
        "holm_reject": [x <= alpha for x in stepped],
        "bh_adjusted": discovered,
        "bh_reject": [x <= alpha for x in discovered],
    }


def paired_t_tost(candidate: list[float], baseline: list[float], margin: float) -> dict[str, Any]:
    pairs = pair_scores(baseline, candidate)
    t, shifted = t_statistic(pairs), t_statistic(pairs, -margin)
    return {
        "delta": pairs.delta,
        "t": t,
        "p_two_sided": 2 * t_upper_tail(abs(t), pairs.n - 1),
        "tost_p": equivalence_p(pairs, margin),
        "noninferiority_t": shifted,
        "noninferiority_p": t_upper_tail(shifted, pairs.n - 1),
    }


def sign_flip_exact(d: list[float], alternative: str) -> dict[str, Any]:
    assert alternative == "less"
    return {"p": sign_flip_loss(d)}


def exact_operating_characteristics(
    n: int, discordance: float, margin: float, alpha: float
) -> dict[str, Any]:
    quantiles = critical_value(alpha) + critical_value(0.2)
    return {
        "p_pass_at_zero": pass_probability(n, discordance, margin, 0.0, alpha),
        "p_pass_at_minus_margin": pass_probability(n, discordance, margin, -margin, alpha),
        "p_midp_loss_reject_at_zero": fail_probability(n, discordance, 0.0, alpha),
        "mde_normal": quantiles * math.sqrt(discordance / n),
    }


def fixed_n_verdict(b: int, c: int, n: int, margin: float, alpha: float) -> dict[str, Any]:
    decision = decide(pair_counts(b, c, n), margin, alpha, alpha)
    return {
        "verdict": decision.verdict,
        "flags": list(decision.flags),
        "delta": decision.delta,
        "low": decision.low,
        "high": decision.high,
    }


def cluster_se(d: list[float], cluster: list[Any]) -> dict[str, Any]:
    found = clustered(d, cluster)
    return {
        "mean": found.delta,
        "se_iid": found.se_iid,
        "se_cr0": found.se_cr0,
        "se_cr1": found.se,
        "n_clusters": found.clusters,
    }


def two_level_variance(scores: list[list[float]]) -> dict[str, Any]:
    found = item_variance(scores)
    return {
        "mean": found.mean,
        "se": found.se,
        "within_var": found.sigma2_candidate,
        "between_var": found.omega2,
        "se_if_k1": found.se_one_sample,
        "se_if_k_inf": found.se_endless_samples,
    }


def gs_boundary(alpha: float, t: list[float], spending: str) -> dict[str, Any]:
    return {
        "z": boundary(alpha, t, spending),
        "cum_alpha": [spent(alpha, x, spending) for x in t],
    }


def gs_verdict(
    cum_b: list[int],
    cum_c: list[int],
    looks: list[int],
    N: int,  # noqa: N803
    margin: float,
    alpha: float,
    spending: str,
    gamma: float,
) -> dict[str, Any]:
    plan = plan_looks(N, margin, alpha_pass=alpha, alpha_fail=alpha, spending=spending, gamma=gamma)
    assert plan.looks[: len(looks)] == tuple(looks)
    results: list[LookResult] = []
    for b, c, n in zip(cum_b, cum_c, looks, strict=True):
        results.append(look(plan, pair_counts(b, c, n), results[-1] if results else None))
        if results[-1].stop:
            break
    last = results[-1]
    return {
        "look": last.look,
        "n": last.n,
        "verdict": last.outcome,
        "z_pass": [r.z_pass for r in results],
        "z_loss": last.z_losses,
        "boundary": [r.bound_pass for r in results],
        "sequential_p_loss": last.p_loss,
    }


def e_process(d: list[float], margin: float, side: Side, n0: int, v0: float) -> dict[str, Any]:
    assert (n0, v0) == (PRIOR_ITEMS, PRIOR_VARIANCE)
    path = log_wealth(d, margin, side)
    return {"log_e": path.tolist(), "p_anytime": p_anytime(path)}


def e_bh(e: list[float], alpha: float) -> dict[str, Any]:
    return {"reject": evalues.e_bh(e, alpha)}


def e_lond(e: list[float], alpha: float, gamma: str) -> dict[str, Any]:
    assert gamma == "6/(pi^2 t^2)"
    levels, stands = evalues.e_lond(e, alpha)
    return {"alpha_t": levels, "reject": stands}


def waterbed(gain_p: float, loss_p: dict[str, float], alpha: float) -> dict[str, Any]:
    found = name_waterbed({"target": gain_p}, loss_p, alpha)
    return {"p_waterbed": found.p, "named": found.named, "losers": list(found.losers)}


def continual_learning(R: list[list[float]]) -> dict[str, Any]:  # noqa: N803
    return {"acc": final_mean(R), "bwt": backward_transfer(R), "forgetting": forgetting(R)}


def rank_interval(
    models: list[str],
    p_two_sided: dict[str, float],
    delta_first_minus_second: dict[str, float],
    alpha: float,
) -> dict[str, Any]:
    compared = [
        Versus(*pair.split("|"), delta_first_minus_second[pair], p)
        for pair, p in p_two_sided.items()
    ]
    ranks = rank_intervals(compared, alpha)
    return {"rank": {name: [ranks[name].best, ranks[name].worst] for name in models}}


def bradley_terry(wins: list[list[float]]) -> dict[str, Any]:
    theta = fit(wins)
    return {
        "theta_last_zero": [x - theta[-1] for x in theta],
        "elo_mean_1000": [elo(x) for x in theta],
    }


def pareto_front(points: dict[str, dict[str, float]]) -> dict[str, Any]:
    return {"front": pareto.pareto_front(points, ("size_gb",))}


def cohen_kappa(table: list[list[int]]) -> dict[str, Any]:
    found = agreement.cohen_kappa(table)
    return {
        "po": found.observed,
        "kappa": found.kappa,
        "kappa_quadratic": found.kappa_quadratic,
    }


def distribution_shift(candidate: list[float], baseline: list[float]) -> dict[str, Any]:
    found = distributions.distribution_shift(candidate, baseline)
    return {
        "tv": found.total_variation,
        "js_divergence_bits": found.jensen_shannon_bits,
        "kl_candidate_baseline_nats": found.kl_nats,
    }


def pass_at_k(n: int, c: int, k: int) -> dict[str, Any]:
    return {"value": samples.pass_at_k(n, c, k)}


def naive_peeking_error(looks: int, alpha_one_sided: float) -> dict[str, Any]:
    fractions = [k / looks for k in range(1, looks + 1)]
    return {"type1": crossing_probability([critical_value(alpha_one_sided)] * looks, fractions)}


KINDS = {
    f.__name__: f
    for f in (
        mcnemar,
        wilson_ci,
        newcombe_paired_ci,
        tango_ci,
        noninferiority_tango,
        holm_bh,
        paired_t_tost,
        sign_flip_exact,
        exact_operating_characteristics,
        fixed_n_verdict,
        pass_at_k,
        cluster_se,
        two_level_variance,
        gs_boundary,
        gs_verdict,
        e_process,
        e_bh,
        e_lond,
        waterbed,
        rank_interval,
        bradley_terry,
        pareto_front,
        cohen_kappa,
        distribution_shift,
        continual_learning,
        naive_peeking_error,
    )
}


def vectors() -> list[Any]:
    path = Path(os.environ.get("WATERBED_VECTORS", "")) / "statistics.json"
    if not path.is_file():
        reason = "WATERBED_VECTORS does not name a folder with statistics.json"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason))]
    found = json.loads(path.read_text(encoding="utf-8"))["vectors"]
    return [pytest.param(v, id=v["id"]) for v in found]


@pytest.mark.parametrize("vector", vectors())
def test_the_computation_agrees_with_its_reference(vector: dict[str, Any]) -> None:
    seen = KINDS[vector["kind"]](**vector["inputs"])
    assert seen.keys() == vector["expected"].keys()
    for name, expected in vector["expected"].items():
        agree(seen[name], expected, vector["tol_abs"], name)


def agree(seen: Any, expected: Any, tolerance: float, name: str) -> None:
    """Numbers within the tolerance; booleans, words and names exactly; lists and tables by member."""
    if isinstance(expected, dict):
        assert seen.keys() == expected.keys(), name
        for key, value in expected.items():
            agree(seen[key], value, tolerance, f"{name}.{key}")
    elif isinstance(expected, list):
        assert len(seen) == len(expected), name
        for i, value in enumerate(expected):
            agree(seen[i], value, tolerance, f"{name}[{i}]")
    elif isinstance(expected, bool | str):
        assert seen == expected, name
    else:
        assert seen == pytest.approx(expected, abs=tolerance, rel=0), name
