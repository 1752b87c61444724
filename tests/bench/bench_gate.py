"""Power and false alarms of this gate, of `nel gate`'s rule, of unpaired z and of fixed drops.

    python tests/bench/bench_gate.py [ROUNDS]

One table, shares of red and of green candidates in per cent with their Monte-Carlo standard errors;
what is neither is inconclusive, which unpaired z and drops do not know. First on simulated suites of
seven domains with known truths, then on real GSM8K answers of four models (WATERBED_DATA) whose
losses are planted. Every rule sees the same candidates; the same rounds give the same table. Rounds:
1000; fewer for a quick look. Not here: how fast a gate is (bench_gate_time.py).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path

import numpy as np
from gate_rules import OTHERS, StoredGate, finals
from simulated_suites import SEED, SUITE, TRUTHS, VOTES, Domain, Paths, draw_suite, live_exits

from waterbed.harness.policy import NAMES
from waterbed.harness.statistics.sequential import plan_looks

ACCURACY = 0.75
SOLUTIONS = Path(os.environ.get("WATERBED_DATA", "")) / "gsm8k" / "example_model_solutions.jsonl"
MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
MARGIN, NEAR = 0.03, 0.08
Exits = dict[str, np.ndarray]


def judged(gate: StoredGate, paths: Mapping[str, Paths], right: float) -> Exits:
    """Exit codes of every rule on the same candidates."""
    found = finals(paths, right)
    for r in range(2):
        gate.check(found, r)
    ours = gate.exits(found)
    live = live_exits(paths, gate.gating)
    return {
        **ours,
        **{f"{name}, live": live[name] for name in ours},
        **{name: rule(found) for name, rule in OTHERS.items()},
    }


def simulated(rounds: int) -> Iterator[tuple[str, Exits]]:
    """The truths that the policies were chosen by."""
    gate, votes = StoredGate(SUITE), StoredGate(VOTES)
    for name, (truth, discordance) in TRUTHS.items():
        yield name, judged(gate, draw_suite(truth, discordance, rounds), ACCURACY)
        if name == "-2 everywhere":
            drawn = draw_suite(truth, discordance, rounds, suite=VOTES)
            yield f"{name}, chat pass/fail", judged(votes, drawn, ACCURACY)


def verdicts() -> dict[str, np.ndarray]:
    """The authors' own grades of four models on the 1319 problems."""
    rows = [json.loads(line) for line in SOLUTIONS.read_text(encoding="utf-8").splitlines()]
    return {m: np.array([float(row[m]["is_correct"]) for row in rows]) for m in MODELS}


def exchanged(
    better: np.ndarray, worse: np.ndarray, loss: float, churn: float, rounds: int
) -> Paths:
    """Two sides of real answers, of which the second is worse by `loss` on average.

    On a random share of the problems the second side is given the worse model's answer and the
    first the better one's; on a further share both are dealt by a coin, which makes no difference,
    until the verdicts of a share `churn` differ; elsewhere both sides give the same answer.
    """
    rng = np.random.default_rng(SEED)
    d = rng.permuted(np.tile(worse - better, (rounds, 1)), axis=1)
    lost = loss / float((better - worse).mean())
    touched = max(lost, churn / float(np.mean(better != worse)))
    place, coin = rng.random(d.shape), rng.choice([-1.0, 1.0], d.shape)
    d = d * np.where(place < lost, 1.0, np.where(place < touched, coin, 0.0))
    plan = plan_looks(d.shape[1], MARGIN, family=2)
    at = np.array(plan.looks) - 1
    return Paths(plan, d.cumsum(axis=1)[:, at], np.abs(d).cumsum(axis=1)[:, at])


def recorded(rounds: int) -> Iterator[tuple[str, Exits]]:
    """Real answers of the best model and each other one, no change and planted losses.

    With 8% of the verdicts changed, as between near checkpoints, and with as many as the models'.
    """
    scores = verdicts()
    gate = StoredGate({"math": Domain(len(scores[MODELS[0]]), MARGIN)})
    best, *others = sorted(MODELS, key=lambda m: -scores[m].mean())
    for other, near, loss in product(others, (True, False), (0.0, 0.02, 0.05)):
        better, worse = scores[best], scores[other]
        churn = NEAR if near else float(np.mean(better != worse))
        paths = {"math": exchanged(better, worse, loss, churn, rounds)}
        label = f"{-100 * loss:+.0f}" if loss else "no change"
        yield f"{label}, {other}, D {churn:.2f}", judged(gate, paths, float(better.mean()))


def shares(exits: Exits) -> dict[str, np.ndarray]:
    """What the table shows, shape (R,): a proven loss is red under every policy alike."""
    shown = {}
    for when in ("", ", live"):
        shown[f"red{when}"] = exits[f"harm{when}"] == 1
        for policy in NAMES:
            shown[f"green: {policy}{when}"] = exits[f"{policy}{when}"] == 0
    shown |= {"nel: red": exits["nel"] == 1, "nel: green": exits["nel"] == 0}
    return shown | {f"{name}: red": exits[name] == 1 for name in OTHERS if name != "nel"}


def line(label: str, exits: Exits) -> str:
    """One row of the table."""
    cells = []
    for share in (found.mean() for found in shares(exits).values()):
        error = np.sqrt(share * (1 - share) / len(exits["nel"]))
        cells.append(f"{100 * share:.1f} ±{100 * error:.1f}")
    return f"| {label} | {' | '.join(cells)} |"


def main(rounds: int) -> None:
    print(f"Shares of {rounds} candidates in per cent ± their standard errors. `live`: ten looks.")
    headed = False
    for label, exits in simulated(rounds):
        if not headed:
            names = list(shares(exits))
            print(f"| truth | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}")
            headed = True
        print(line(label, exits), flush=True)
    if not SOLUTIONS.is_file():
        print("WATERBED_DATA has no GSM8K solutions; real answers are left out")
        return
    for label, exits in recorded(rounds):
        print(line(f"GSM8K {label}", exits), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
