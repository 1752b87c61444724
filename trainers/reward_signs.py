"""Signs that a reward is gamed rather than earned, read from the metrics of a stage in training.

Three signs: the reward rises while the score on held-out prompts falls; answers grow out of all
proportion; different prompts get the same answer. A sign is a reason to look at answers, not a proof, so it
warns and stops nothing. Not here: what is measured (reward_sums.py, held_out.py); the gate, which decides.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev

#: Lines of metrics needed before anything is said.
LEAST = 6
#: Standard errors by which a mean must move to count as moved.
ERRORS = 3.0
#: Answers this many times as long as at the start have run away.
GROWTH = 2.0
#: Share of answers of a batch that another prompt may have got, too; the start counts where it is higher.
COPIES = 0.5

LENGTH, COPIED = "completions/mean_length", "duplicates"
#: All that is read of a line of metrics.
READ = ("step", "reward", "watched", LENGTH, COPIED)


class RewardHackingWarning(UserWarning):
    """The reward may be gamed; look at the answers."""


def signs(history: Sequence[Mapping[str, float]]) -> dict[str, str]:
    """What is suspicious in the metrics so far, a sentence by sign.

    Args:
        history: lines of metrics in order, with `reward`, `watched`, `completions/mean_length` and
            `duplicates` where they are known. The first third is compared with the last.
    """
    found: dict[str, str] = {}
    if gamed := _gamed(history):
        found["watched"] = gamed
    early, late = _ends([line[LENGTH] for line in history if LENGTH in line])
    if early and fmean(late) > GROWTH * fmean(early):
        found["length"] = (
            f"Answers grew from {fmean(early):.0f} to {fmean(late):.0f} tokens; does the reward pay for length?"
        )
    early, late = _ends([line[COPIED] for line in history if COPIED in line])
    if early and fmean(late) > max(COPIES, (1 + fmean(early)) / 2):
        found["duplicates"] = (
            f"{fmean(late):.0%} of answers are the same as to another prompt ({fmean(early):.0%} at the "
            "start); raise the KL penalty, or lower the learning rates."
        )
    return found


def _gamed(history: Sequence[Mapping[str, float]]) -> str | None:
    both = [line for line in history if "reward" in line and "watched" in line]
    earned, watched = (_ends([line[name] for line in both]) for name in ("reward", "watched"))
    if not earned[0] or _moved(*earned) <= ERRORS or _moved(*watched) >= -ERRORS:
        return None
    rose, fell = (f"{fmean(ends[0]):.3f} to {fmean(ends[1]):.3f}" for ends in (earned, watched))
    return f"The reward rose from {rose} while the score on held-out prompts fell from {fell}; it is being gamed."


def _ends(values: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    """The first and the last third; both empty where there is too little."""
    third = len(values) // 3
    return (values[:third], values[-third:]) if len(values) >= LEAST else ((), ())


def _moved(early: Sequence[float], late: Sequence[float]) -> float:
    """How many standard errors the mean moved (Welch 1947)."""
    error = (stdev(early) ** 2 / len(early) + stdev(late) ** 2 / len(late)) ** 0.5
    change = fmean(late) - fmean(early)
    return change / error if error else change * float("inf") if change else 0.0


def warn_of_signs(metrics: Path, told: set[str]) -> None:
    """Warn of every sign in a metrics file that `told` does not name yet, and add it there."""
    if not metrics.is_file():
        return
    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    for name, sentence in signs(lines).items():
        if name not in told:
            told.add(name)
            warnings.warn(
                f"{sentence} (step {lines[-1]['step']})", RewardHackingWarning, stacklevel=2
            )
