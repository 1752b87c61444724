"""Ranks any number of complete Runs on the same items: who is better, by how much, at what price.

Quality is the mean over domains. Ranks are intervals from all paired comparisons, held together (Holm);
each Run is gated against a baseline, where there is one, by the policy as it is. Pure: reads stored Runs,
needs no model. A Run is one run: nothing here speaks of other seeds of its recipe. Not here: the formulas
(statistics/), what a Run took (leaderboard_costs.py), the page.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from .. import __version__
from .common_items import CommonClaim, common_items
from .comparability import RunLike, check_manifest, chosen_tasks, compare, completing
from .errors import DataError, IncomparableRuns, UsageError
from .gate import gate_runs
from .gate_plan import domain_means
from .leaderboard_costs import fronts, spent_by
from .leaderboard_recipes import as_counted, recipe_places
from .leaderboard_record import (
    Against,
    Change,
    Column,
    Duel,
    Estimate,
    Leaderboard,
    Place,
    RecipePlace,
)
from .pairing import claims, shortfall
from .policy import Policy
from .statistics.clusters import clustered, clustered_interval
from .statistics.families import Pooled, benjamini_hochberg, holm, pool_domains
from .statistics.normal import critical_value
from .statistics.proportions import wilson_interval
from .statistics.ranking import Versus, rank_intervals

if TYPE_CHECKING:
    import pandas as pd

    from .verdict import Comparison, Verdict

#: Of every interval shown, two-sided; and the level at which ranks hold together.
CONFIDENCE, ALPHA = 0.90, 0.05

Common = Mapping[str, CommonClaim]


def leaderboard(
    runs: Sequence[RunLike],
    baseline: RunLike | None = None,
    policy: Policy | None = None,
    suites: Sequence[str] | None = None,
    recipes: Mapping[str, Sequence[RunLike]] | None = None,
) -> Leaderboard:
    """Rank Runs.

    Args:
        runs: two or more, the baseline among them or not.
        baseline: what each is gated against.
        policy: of those gates; `harm` by default. An anchor in it is not held: that is the gate's command.
        suites: tasks or domains to compare; default: the policy's, else all, and then all Runs must have
            the same.
        recipes: which of the Runs differ in their seed alone, by a name for what they have in common.

    Raises:
        UsageError: fewer than two Runs, one given twice, or a recipe of Runs that are not ranked.
        IncomparableRuns: two Runs were not made the same way, or have other tasks or items.
        DataError: a Run is not complete, or the instrument lost more of it than the policy's `max_dropped`.
    """
    rules = policy or Policy.load("harm")
    named = _named(runs, baseline)
    tasks = _same_tasks(named, suites or rules.suites or None)
    tables = {name: run.scores() for name, run in named.items()}
    for name, run in named.items():
        _whole(name, run, tables[name], tasks, rules.max_dropped)
    first = next(iter(named.values()))
    wanted = claims({name: first.manifest["tasks"][name] for name in tasks})
    common = common_items(tables, wanted)
    if not common:
        raise DataError("No claim has two items that every Run scored; evaluate them again.")
    base = next((name for name, run in named.items() if run is baseline), None)
    verdicts = _gated(named, base, rules, list(tasks))
    board = _assembled(named, base, rules, common, verdicts)
    return replace(board, recipes=_recipes(named, recipes or {}, common, base))


def _named(runs: Sequence[RunLike], baseline: RunLike | None) -> dict[str, RunLike]:
    """Every Run under a name of its own, the baseline included."""
    given = [baseline, *runs] if baseline else list(runs)
    by_path: dict[str, RunLike] = {}
    for run in given:
        place = str(run.path.resolve())
        if place in by_path and by_path[place] is not baseline:
            raise UsageError(f"The Run '{run.path}' is given twice; name each once.")
        by_path.setdefault(place, run)
    if len(by_path) < 2:
        raise UsageError(
            f"A leaderboard needs two Runs or more, got {len(by_path)}; name their folders, for example "
            "`waterbed leaderboard runs/a runs/b`."
        )
    labels = [run.label for run in by_path.values()]
    names: dict[str, RunLike] = {}
    for place, run in by_path.items():
        alone = labels.count(run.label) == 1
        name = run.label if alone else f"{run.label} ({run.path.name})"
        names[name if name not in names else f"{run.label} ({place})"] = run
    return names


def _same_tasks(named: Mapping[str, RunLike], suites: Sequence[str] | None) -> dict[str, str]:
    """Tasks with their domains, made and asked alike in every Run.

    Raises:
        IncomparableRuns: names the two Runs and what differs, or a task that no Run has.
    """
    (first, reference), *others = named.items()
    for run in named.values():
        check_manifest(run)
    tasks = chosen_tasks(reference.manifest, reference.manifest, suites)
    absent = sorted(tasks.keys() - reference.manifest["tasks"].keys())
    if absent:
        raise IncomparableRuns(
            f"'{first}' has no {', '.join(absent)}; evaluate every Run on it, or name other --suites."
        )
    for name, run in others:
        own = chosen_tasks(run.manifest, run.manifest, suites)
        own = {task: domain for task, domain in own.items() if task in run.manifest["tasks"]}
        if own.keys() != tasks.keys():
            odd = ", ".join(sorted(own.keys() ^ tasks.keys()))
            raise IncomparableRuns(
                f"'{first}' and '{name}' have other tasks ({odd} in one only); evaluate both on the same "
                "suites, or name those in common with --suites."
            )
        differs = compare(reference.manifest, run.manifest, tasks).refusals
        if differs:
            raise IncomparableRuns(
                f"'{first}' and '{name}' were not made the same way ({'; '.join(differs)}); evaluate one "
                "again like the other, or leave it out."
            )
        sizes = [{t: r.manifest["tasks"][t]["items"] for t in tasks} for r in (reference, run)]
        uneven = [t for t in tasks if sizes[0][t] != sizes[1][t]]
        if uneven:
            t = uneven[0]
            raise IncomparableRuns(
                f"'{first}' has {sizes[0][t]} items of {t} and '{name}' {sizes[1][t]}; evaluate both with the "
                "same --limit."
            )
    return tasks


def _whole(
    name: str, run: RunLike, scores: pd.DataFrame, tasks: Mapping[str, str], most: float
) -> None:
    """Refuse a Run that is not complete, or of which the instrument lost more than the share `most`.

    Raises:
        DataError: names it and the next step.
    """
    if run.status != "complete":
        raise DataError(
            f"'{name}' is {run.status}, and a leaderboard ranks complete Runs only; complete it with "
            f"`{completing(run)}`."
        )
    gaps = shortfall(run.manifest, scores, tasks)
    lost = float(scores.loc[scores["task"].isin(tasks), "value"].isna().mean())
    if gaps or lost > most:
        what = (
            f"lacks answers of {next(iter(gaps))}"
            if gaps
            else f"has no score on {lost:.1%} of its rows"
        )
        raise DataError(f"'{name}' {what}, so it is no measurement; run the evaluation again.")


def _recipes(
    named: Mapping[str, RunLike],
    recipes: Mapping[str, Sequence[RunLike]],
    common: Common,
    base: str | None,
) -> tuple[RecipePlace, ...]:
    names = {str(run.path.resolve()): name for name, run in named.items()}
    groups = {
        r: [names.get(str(run.path.resolve()), "") for run in own] for r, own in recipes.items()
    }
    lone = [recipe for recipe, own in groups.items() if "" in own]
    if lone:
        raise UsageError(
            f"The recipe '{lone[0]}' has a Run that is not ranked; name it among the Runs."
        )
    return recipe_places(groups, common, base, CONFIDENCE)


def _gated(
    named: Mapping[str, RunLike], base: str | None, rules: Policy, tasks: Sequence[str]
) -> dict[str, Verdict]:
    if base is None:
        return {}
    return {
        name: gate_runs(named[base], run, rules, suites=tasks)
        for name, run in named.items()
        if name != base
    }


def _assembled(
    named: Mapping[str, RunLike],
    base: str | None,
    rules: Policy,
    common: Common,
    verdicts: Mapping[str, Verdict],
) -> Leaderboard:
    pooled = {(a, b): _pooled(common, b, a) for a, b in combinations(named, 2)}
    duels = list(_duels(pooled))
    ranks = rank_intervals([Versus(d.first, d.second, d.delta, d.p) for d in duels], ALPHA)
    against = _against(verdicts)
    spent = {name: spent_by(run) for name, run in named.items()}
    front = fronts(spent, common, pooled)
    places = []
    for name, run in named.items():
        scores = {own: _estimate(claim, name) for own, claim in common.items()}
        checkpoint = run.manifest.get("checkpoint") or {}
        place = Place(
            name=name,
            path=str(run.path),
            digest=str(checkpoint.get("digest") or ""),
            stage=checkpoint.get("stage"),
            made=str(run.manifest.get("created") or ""),
            best=ranks[name].best,
            worst=ranks[name].worst,
            overall=_overall(common, scores),
            scores={own: as_counted(common[own], s) for own, s in scores.items()},
            against=against.get(name),
            spent=spent[name],
            front=front.places.get(name),
        )
        places.append(place)
    places.sort(key=lambda p: (-p.overall.value, p.best, p.name))
    first = next(iter(named.values()))
    tasks = sorted({task for claim in common.values() for task in claim.claim.tasks})
    return Leaderboard(
        sentence=_sentence(places),
        baseline=base,
        policy={"name": rules.name, "hash": rules.hash},
        columns=tuple(_column(claim) for claim in common.values()),
        tasks=tuple(_task(name, first.manifest["tasks"][name]) for name in tasks),
        toy=any(t.get("toy") for run in named.values() for t in run.manifest["tasks"].values()),
        places=tuple(places),
        duels=tuple(duels),
        recipes=(),
        axes=front.axes,
        notes=tuple(_notes(named, tasks)),
        version=__version__,
    )


def _duels(pooled: Mapping[tuple[str, str], Pooled]) -> Iterator[Duel]:
    """Every pair once: mean over domains, two-sided p, Holm over all pairs."""
    p = [min(1.0, 2 * min(each.p_loss, 1 - each.p_loss)) for each in pooled.values()]
    for (pair, found), own, adjusted in zip(pooled.items(), p, holm(p), strict=True):
        yield Duel(first=pair[0], second=pair[1], delta=found.delta, p=own, p_holm=adjusted)


def _pooled(common: Common, before: str, after: str) -> Pooled:
    """Mean over domains of after minus before, with its error."""
    pairs = {own: claim.pairs(before, after) for own, claim in common.items()}
    values = [(common[own].claim.domain, each.delta, each.se) for own, each in pairs.items()]
    return pool_domains(*domain_means(values, _shared(common)), confidence=CONFIDENCE)


def _shared(common: Common) -> frozenset[str]:
    """Domains with several claims, which are taken to be on the same items: the more careful error."""
    domains = [claim.claim.domain for claim in common.values()]
    return frozenset(d for d in domains if domains.count(d) > 1)


def _estimate(claim: CommonClaim, name: str) -> Estimate:
    """A Run's mean score with its interval, higher is better: Wilson, or t by cluster or graded item."""
    side = claim.sides[name]
    scores = side.candidate
    if not side.clustered and set(scores.tolist()) <= {0.0, 1.0}:
        low, high = wilson_interval(float(scores.sum()), len(scores), CONFIDENCE)
        return Estimate(float(scores.mean()), low, high)
    if side.units < 2:
        return Estimate(float(scores.mean()), 0.0, 1.0)
    found = clustered(scores, list(side.unit))
    low, high = clustered_interval(found, CONFIDENCE)
    return Estimate(found.delta, max(0.0, low), min(1.0, high))


def _overall(common: Common, scores: Mapping[str, Estimate]) -> Estimate:
    """Mean over domains; the error from the intervals, which keep it above 0 at scores of 0 and 1."""
    z = critical_value((1 - CONFIDENCE) / 2)
    values = [
        (common[own].claim.domain, each.value, (each.high - each.low) / (2 * z))
        for own, each in scores.items()
    ]
    means, errors = domain_means(values, _shared(common))
    value = math.fsum(means) / len(means)
    half = z * math.sqrt(math.fsum(e * e for e in errors)) / len(errors)
    return Estimate(value, max(0.0, value - half), min(1.0, value + half))


def _against(verdicts: Mapping[str, Verdict]) -> dict[str, Against]:
    """What each gate says, and what that is worth among so many of them."""
    harm = {name: _p_harm(verdict) for name, verdict in verdicts.items()}
    together = dict(zip(harm, benjamini_hochberg(list(harm.values())), strict=True))
    found = {}
    for name, verdict in verdicts.items():
        changed = {d.id: _change(d.comparison, d.badge, d.p_holm) for d in verdict.domain_list}
        losses = {own: c.delta for own, c in changed.items() if c.delta is not None and c.delta < 0}
        pooled = verdict.pooled
        found[name] = Against(
            outcome=verdict.outcome,
            exit_code=verdict.exit_code,
            headline=verdict.headline,
            sentence=verdict.sentence,
            mean=_change(pooled, pooled.badge, pooled.p_holm) if pooled else None,
            claims=changed,
            worst=min(losses, key=lambda own: losses[own]) if losses else None,
            p_harm=harm[name],
            p_harm_all=together[name],
        )
    return found


def _change(found: Comparison | Any, badge: str, p_holm: float | None) -> Change:
    return Change(delta=found.delta, low=found.low, high=found.high, badge=badge, p_holm=p_holm)


def _p_harm(verdict: Verdict) -> float:
    known = [d.p_holm for d in verdict.domain_list]
    known += [verdict.pooled.p_holm] if verdict.pooled else []
    return min((p for p in known if p is not None), default=1.0)


def _column(claim: CommonClaim) -> Column:
    return Column(
        id=claim.claim.id,
        domain=claim.claim.domain,
        lower_is_better=claim.claim.lower_is_better,
        items=claim.n,
        units=claim.first.units,
    )


def _task(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    known = {key: entry.get(key) for key in ("version", "domain", "items", "verified")}
    return {"name": name, **known}


def _notes(named: Mapping[str, RunLike], tasks: Sequence[str]) -> Iterator[str]:
    """What differs from the first Run without forbidding a comparison."""
    (first, reference), *others = named.items()
    for name, run in others:
        notes = compare(reference.manifest, run.manifest, tasks).notes
        if notes:
            yield f"{first} and {name} differ: {'; '.join(notes)}"


def _sentence(places: Sequence[Place]) -> str:
    """Who may be first."""
    first = [p.name for p in places if p.best == 1]
    if len(first) == 1:
        return f"{first[0]} is first of {len(places)} Runs on these items."
    named = f"{', '.join(first[:-1])} and {first[-1]}"
    return f"{len(first)} of {len(places)} Runs may be first, no test tells them apart: {named}."
