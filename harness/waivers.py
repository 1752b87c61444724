"""Waivers: known losses that somebody answers for, taken out of what makes a gate red.

A waiver changes the exit code and nothing else: the loss is tested as before, counts in Holm's
family, keeps its FAIL badge and is listed with its owner. The mean over domains is no claim and
cannot be waived; it must be taken without the waived claims, or their loss comes back through it.
Pure: whether a waiver has expired is decided where the policy is read (policy.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .policy import Waiver


def apply(
    failed: Iterable[str], waivers: Sequence[Waiver]
) -> tuple[tuple[str, ...], tuple[tuple[str, Waiver], ...]]:
    """Part the claims with a proven loss into those that stay red and those that are waived.

    Args:
        failed: claim ids in any order; the empty id stands for the mean over domains.
        waivers: a policy's.

    Returns:
        kept: ids without a waiver, in the order given.
        waived: the others, each with the waiver that covers it.
    """
    found = [(claim, waiver_of(claim, waivers)) for claim in failed]
    kept = tuple(claim for claim, waiver in found if waiver is None)
    return kept, tuple((claim, waiver) for claim, waiver in found if waiver is not None)


def waiver_of(claim: str, waivers: Iterable[Waiver]) -> Waiver | None:
    """The waiver that covers a claim: its own, else its domain's; a metric's covers no other."""
    by_claim = {waiver.claim: waiver for waiver in waivers}
    return by_claim.get(claim) or by_claim.get(claim.split("/", 1)[0])


def warning(claim: str, waiver: Waiver) -> str:
    """The line that a gate lists for a loss that it let through."""
    return f"{claim} is lost and waived until {waiver.expires} by {waiver.owner}: {waiver.reason}"
