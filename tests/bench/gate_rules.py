"""Rules that decide on two complete Runs: this gate, and what others do.

`StoredGate` is `gate_runs` with one shortcut: the score tables of R candidates are not made, each
domain's decision is taken on its counts. `check` holds that against `gate_runs` on the same scores.
The other rules read sums alone. Not here: drawing candidates (simulated_suites.py), tables of rates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from memory_runs import MemoryRun, make_pair, make_run
from simulated_suites import LEVEL, Domain, Paths

from waterbed.harness.comparability import Differences
from waterbed.harness.gate import decide, gate_runs
from waterbed.harness.gate_case import Case, Findings
from waterbed.harness.gate_evidence import gather
from waterbed.harness.gate_plan import plan
from waterbed.harness.policy import NAMES, Policy
from waterbed.harness.statistics import decision
from waterbed.harness.statistics.paired import Pairs, pair_counts, pair_scores


@dataclass(frozen=True)
class Finals:
    """What R candidates did on all items of one domain; arrays of shape (R,)."""

    n: int
    total: np.ndarray
    squares: np.ndarray
    right: float
    """Share that the baseline has right; for the unpaired rule alone."""
    graded: bool = False

    @property
    def delta(self) -> np.ndarray:
        return self.total / self.n

    @property
    def se(self) -> np.ndarray:
        """Plain standard error of the mean difference, without smoothing."""
        spread = np.maximum(self.squares - self.total**2 / self.n, 0)
        return np.sqrt(spread / (self.n - 1) / self.n)


Suite = Mapping[str, Finals]


def finals(suite: Mapping[str, Paths], right: float = 0.5) -> dict[str, Finals]:
    """What was seen of a suite at its last item."""
    return {
        name: Finals(p.plan.items, p.total[:, -1], p.squares[:, -1], right, p.graded)
        for name, p in suite.items()
    }


class StoredGate:
    """This gate on complete Runs of a suite, under its three policies."""

    def __init__(self, suite: Mapping[str, Domain]) -> None:
        old = {
            name: [0.5] * d.items if d.judge else make_pair(d.items, d.items // 2)[0]
            for name, d in suite.items()
        }
        self.baseline = make_run("old", **old)
        self.old = {name: np.array(scores) for name, scores in old.items()}
        self.suite = suite
        self.known: dict[tuple[str, float, float], decision.Decision] = {}
        domains = dict(zip(suite, suite, strict=True))
        self.cases = {
            name: Case(
                self.baseline,
                self.baseline,
                Policy(name=name),
                None,
                None,
                domains,
                Differences((), ()),
            )
            for name in NAMES
        }
        self.plans = {n: plan(self.baseline, c.policy, domains) for n, c in self.cases.items()}
        self.blank = {
            n: gather(self.plans[n], domains, self.baseline, self.baseline, c.policy)
            for n, c in self.cases.items()
        }

    @property
    def gating(self) -> frozenset[str]:
        """Domains that `strict` demands a PASS of."""
        return frozenset(c.claim.domain for c in self.plans["strict"].claims if c.gating)

    def exits(self, found: Suite) -> dict[str, np.ndarray]:
        """Exit codes by policy, shape (R,)."""
        rounds = len(next(iter(found.values())).total)
        codes: dict[str, list[int]] = {name: [] for name in NAMES}
        for r in range(rounds):
            own = {name: self._decide(name, f.total[r], f.squares[r]) for name, f in found.items()}
            for name, case in self.cases.items():
                blank = self.blank[name]
                own_evidence = (replace(e, decision=own[e.plan.claim.domain]) for e in blank)
                judged = Findings(evidence=tuple(own_evidence))
                codes[name].append(decide(case, self.plans[name], judged).code)
        return {name: np.array(c) for name, c in codes.items()}

    def _decide(self, name: str, total: float, squares: float) -> decision.Decision:
        key = (name, float(total), float(squares))
        if key not in self.known:
            self.known[key] = decision.decide(self._pairs(*key), self.suite[name].margin)
        return self.known[key]

    def _pairs(self, name: str, total: float, squares: float) -> Pairs:
        if self.suite[name].judge:
            return pair_scores(self.old[name], self._scores(name, total, squares))
        b, c = round((squares + total) / 2), round((squares - total) / 2)
        return pair_counts(b, c, len(self.old[name]), int(self.old[name].sum()))

    def _scores(self, name: str, total: float, squares: float) -> np.ndarray:
        """The candidate's scores: whole votes, or halves for a judge."""
        step = 0.5 if self.suite[name].judge else 1.0
        changed, net = squares / step**2, total / step
        b, c = round((changed + net) / 2), round((changed - net) / 2)
        new = self.old[name].copy()
        new[:c] -= step
        new[len(new) - b :] += step
        return new

    def check(self, found: Suite, r: int) -> None:
        """Whether candidate r has the exit codes of `gate_runs` on its score tables.

        Raises:
            AssertionError: it has not.
        """
        scores = {n: self._scores(n, f.total[r], f.squares[r]).tolist() for n, f in found.items()}
        candidate: MemoryRun = make_run("new", **scores)
        one = {
            n: replace(f, total=f.total[r : r + 1], squares=f.squares[r : r + 1])
            for n, f in found.items()
        }
        for name, codes in self.exits(one).items():
            whole = gate_runs(self.baseline, candidate, self.cases[name].policy).exit_code
            assert whole == codes[0], f"{name}: gate_runs says {whole}, the shortcut {codes[0]}"


def paired_interval(suite: Suite, max_drop: float = 0.015) -> np.ndarray:
    """The rule of NeMo Evaluator's `nel gate` (0.4, commit ac66aff), its default drop.

    The 95% t interval of the mean paired difference, rounded to six digits: wholly beyond
    `max_drop` is a breach and NO-GO, one that straddles it is no evidence and INCONCLUSIVE; GO is
    left. It corrects for no number of benchmarks. Read in its source (engine/gate.py), which no
    package on PyPI holds yet; not run.
    """
    from scipy.stats import t

    breach, open_ = [], []
    for found in suite.values():
        half = float(t.ppf(0.975, found.n - 1)) * found.se
        least, most = np.round(-found.delta - half, 6), np.round(-found.delta + half, 6)
        breach.append(least > max_drop)
        open_.append(most > max_drop)
    red = np.any(breach, axis=0)
    return np.where(red, 1, np.where(np.any(open_, axis=0), 3, 0))


def unpaired_z(suite: Suite, *, corrected: bool) -> np.ndarray:
    """Red where the two scores of a benchmark differ as if drawn apart, one-sided at 5%.

    A judge's win rate has no second score: it is held against one half. `corrected`: by Holm.
    """
    from scipy.special import ndtr

    p = []
    for found in suite.values():
        se = found.se
        if not found.graded:
            new = found.right + found.delta
            se = np.sqrt((found.right * (1 - found.right) + new * (1 - new)) / found.n)
        p.append(ndtr(found.delta / se))
    # Any rejection of Holm's procedure begins with the smallest p.
    return np.where(np.min(p, axis=0) <= LEVEL / (len(p) if corrected else 1), 1, 0)


def threshold(suite: Suite, drop: float) -> np.ndarray:
    """Red where any score fell by more than `drop`."""
    return np.where(np.any([f.delta < -drop - 1e-12 for f in suite.values()], axis=0), 1, 0)


OTHERS: dict[str, Callable[[Suite], np.ndarray]] = {
    "nel": paired_interval,
    "unpaired z": lambda suite: unpaired_z(suite, corrected=False),
    "unpaired z, Holm": lambda suite: unpaired_z(suite, corrected=True),
    "drop > 1": lambda suite: threshold(suite, 0.01),
    "drop > 2": lambda suite: threshold(suite, 0.02),
}
