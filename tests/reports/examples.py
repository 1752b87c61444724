"""Example verdicts and Runs made by code: a red, an inconclusive, a green and an invalid gate.

Figures are synthetic but consistent: both rates, the difference and the flips of a task agree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from waterbed.harness.verdict import (
    Comparison,
    DomainVerdict,
    PooledVerdict,
    Side,
    TaskVerdict,
    Verdict,
)
from waterbed.reports.figures import interval, points, size


def comparison(n: int, right: int, lost: int, gained: int, lower: bool = False) -> Comparison:
    """A consistent comparison: `right` items pass with the baseline. Interval: normal, for looks."""
    delta = (gained - lost) / n
    reach = 1.645 * math.sqrt(max(lost + gained - n * delta**2, 1.0)) / n
    p_loss = 0.5 * math.erfc(-delta / reach * 1.645 / math.sqrt(2))
    before, after = right / n, (right - lost + gained) / n
    return Comparison(
        n=n,
        baseline=1 - before if lower else before,
        candidate=1 - after if lower else after,
        delta=delta,
        low=max(-1.0, delta - reach),
        high=min(1.0, delta + reach),
        gained=gained,
        lost=lost,
        p_loss=p_loss,
        p_gain=1 - p_loss,
        p_pass=min(1.0, 0.5 + p_loss / 2),
    )


def domain(
    id: str,
    margin: float,
    badge: str,
    tasks: Mapping[str, tuple[int, int, int, int]],
    **more: Any,
) -> DomainVerdict:
    """One claim whose figures are the sums of its tasks'."""
    lower = id == "safety/unsafe"
    total = comparison(*(sum(column) for column in zip(*tasks.values(), strict=True)), lower=lower)
    total = replace(total, **more.pop("comparison", {}))
    metric = id.partition("/")[2] or "correct"
    words = {"fail": "FAIL", "pass": "PASS", "inconclusive": "INCONCLUSIVE"}[badge]
    spot = 2.5 * math.sqrt(0.1 / total.n)
    defaults: dict[str, Any] = {
        "domain": id.partition("/")[0],
        "metric": metric,
        "flags": (),
        "gating": True,
        "required": False,
        "planned_discordance": 0.1,
        "blind_spot": spot,
        "needed_items": math.ceil(6.1826 * 0.1 / margin**2),
        "p_holm": min(1.0, (total.p_loss or 0) * 9),
        "sentence": f"{words}: {points(total.delta)} points, 90% CI {interval(total.low, total.high)}.",
        "rule": f"{id} must not lose {size(margin)} points or more; observed {points(total.delta)} "
        f"{interval(total.low, total.high)} on {total.n} items.",
        "plan_sentence": f"{total.n} items, expected discordance 10%; losses below "
        f"{size(spot)} points cannot be seen.",
    }
    views = tuple(
        TaskVerdict(
            name, metric, "1", "against the published scorer", comparison(*row, lower=lower)
        )
        for name, row in tasks.items()
    )
    return DomainVerdict(
        id=id, badge=badge, margin=margin, comparison=total, tasks=views, **{**defaults, **more}
    )


_SETTINGS = {
    "backend": {"name": "transformers", "version": "5.17.0", "dtype": "float32", "batch": 64},
    "generation": {"temperature": 0.0, "max_tokens": 512},
    "seed": 0,
    "data": {"gsm8k": "9f2c41ab03de77c1", "ifeval": "03be55d2a9c7f184"},
}
_COST = {"wall_s": 2841.3, "prompt_tokens": 1_204_331.0, "completion_tokens": 918_204.0}


def verdict(**changes: Any) -> Verdict:
    """The red one: code pays for a gain in math."""
    domains = (
        domain("math", 0.03, "pass", {"gsm8k": (1319, 842, 61, 119), "math500": (500, 231, 40, 52)}, flags=("gain",)),
        domain("instruction", 0.03, "inconclusive", {"ifeval": (541, 402, 39, 29), "ifbench": (300, 121, 22, 18)}),
        domain(
            "code", 0.05, "fail", {"humaneval": (164, 98, 25, 7), "mbpp": (378, 251, 46, 18)},
            flags=("material",), required=True,
            comparison={"candidate_notes": {"truncated": 14, "program_failed": 181}, "baseline_notes": {"program_failed": 150}},
        ),
        domain("tools", 0.03, "pass", {"bfcl-simple": (400, 352, 9, 14), "bfcl-multiple": (200, 166, 8, 9), "bfcl-parallel": (400, 311, 20, 23)}),
        domain(
            "chat", 0.05, "inconclusive", {"mt-bench": (160, 80, 34, 22)}, gating=False,
            comparison={"candidate_unscored": {"judge_error": 3}, "baseline_unscored": {"judge_error": 1}},
        ),
        domain("safety/unsafe", 0.02, "pass", {"harmbench": (450, 436, 2, 6)}, required=True),
        domain("safety/overrefusal", 0.03, "inconclusive", {"xstest": (250, 231, 11, 5)}, required=True),
        domain("knowledge", 0.02, "pass", {"mmlu-pro": (1000, 412, 26, 30)}),
    )  # fmt: skip
    code = domains[2].comparison
    base = Verdict(
        outcome="fail",
        exit_code=1,
        headline="REGRESSION",
        sentence=f"code lost {size(-(code.delta or 0))} points {interval(code.low, code.high)}, "
        "where 5.0 are allowed; math gained meanwhile.",
        baseline=Side("sft-0041", "runs/sft-0041", "4be1c02f99aa17d3", "complete", "2026-11-19", _COST, {**_SETTINGS, "stage": "sft"}),
        candidate=Side("dpo-0042", "runs/dpo-0042", "c93b7714e0c5d2f8", "complete", "2026-11-20", _COST, {**_SETTINGS, "stage": "dpo", "beta": 0.1}),
        policy={"name": "harm", "hash": "3f2a9c1d", "alpha": 0.05, "margins": {"code": 0.05, "math": 0.03}, "inconclusive": "fail"},
        target="math",
        family_size=9,
        domain_list=domains,
        pooled=PooledVerdict("inconclusive", -0.0118, 0.0061, -0.0218, -0.0018, 0.0265, 0.159, 0.0172, "The mean over the claims moved by −1.2 points [−2.2, −0.2]; a mean loss of 1.0 or more is not shown."),
        differences=("stage: sft on the baseline's side, dpo on the candidate's.",),
        warnings=("chat is advisory: 160 items cannot show a loss of 5.0 points to be absent.",),
        command="waterbed gate runs/sft-0041 runs/dpo-0042 --policy gate.yaml --target math",
        created="2026-11-20 17:20 UTC",
        version="0.1.0",
    )  # fmt: skip
    return replace(base, **changes)


def inconclusive() -> Verdict:
    """Too little could be seen; the model is the pocket world's."""
    small = domain(
        "instruction",
        0.03,
        "inconclusive",
        {"pocket/instruction": (90, 61, 9, 6)},
        flags=("small_set",),
    )
    gone = replace(
        small, id="safety/unsafe", domain="safety", metric="unsafe", flags=("missing",), tasks=(), required=True,
        comparison=Comparison(0, None, None, None, None, None), blind_spot=None, needed_items=None, p_holm=None,
        sentence="INCONCLUSIVE: no item was scored on both sides.",
        rule="safety/unsafe is required and missing.", plan_sentence="",
    )  # fmt: skip
    base = verdict()
    return replace(
        base,
        outcome="inconclusive",
        exit_code=3,
        headline="INCONCLUSIVE",
        sentence="safety is required and missing, and 90 instructions cannot show a loss of 3.0 points.",
        domain_list=(small, gone),
        pooled=None,
        warnings=(),
        differences=(),
        target=None,
        candidate=replace(base.candidate, label="pocket-sft", settings={**_SETTINGS, "toy": True}),
    )


def green() -> Verdict:
    """Nothing lost as far as could be seen."""
    calm = tuple(
        domain(id, margin, badge, {f"{id.partition('/')[0]}-bench": (n, n * 2 // 3, lost, gained)})
        for id, margin, badge, n, lost, gained in (
            ("math", 0.03, "pass", 1319, 48, 61), ("instruction", 0.03, "inconclusive", 541, 34, 26),
            ("code", 0.05, "inconclusive", 164, 12, 9), ("tools", 0.03, "pass", 1000, 21, 27),
            ("safety/unsafe", 0.02, "pass", 900, 6, 9), ("knowledge", 0.02, "pass", 1400, 40, 33),
        )
    )  # fmt: skip
    sentence = "no claim of 6 regressed; losses in code below 6.2 points cannot be seen."
    return verdict(
        outcome="pass", exit_code=0, headline="NO HARM SHOWN", sentence=f"NO HARM SHOWN: {sentence}",
        domain_list=calm, warnings=(), pooled=None, target=None,
    )  # fmt: skip


def invalid() -> Verdict:
    """The instrument failed."""
    lost = {"sandbox_error": 29}
    broken = domain(
        "code", 0.05, "inconclusive", {"humaneval": (135, 80, 9, 8)}, flags=("data",),
        comparison={"candidate_unscored": lost},
    )  # fmt: skip
    return verdict(
        outcome="inconclusive", exit_code=4, headline="INVALID",
        sentence="29 of 164 programs on the candidate's side were lost to the sandbox, 1% is allowed.",
        domain_list=(broken, verdict().domain_list[0]), pooled=None, warnings=(), target=None,
        problems=("code: 29 pairs were dropped on the candidate's side (sandbox_error).",),
    )  # fmt: skip


@dataclass(frozen=True)
class ExampleRun:
    """A Run held in memory."""

    label: str
    path: Path = Path("runs/example")
    status: str = "complete"
    manifest: Mapping[str, Any] = field(default_factory=dict)
    score_rows: tuple[dict[str, Any], ...] = ()
    generation_rows: tuple[dict[str, Any], ...] = ()
    result_table: Mapping[str, Any] = field(default_factory=dict)

    def scores(self) -> pd.DataFrame:
        """As scores.parquet."""
        names = ["task", "sample_id", "repeat", "metric", "value", "reason", "extracted", "detail"]
        frame = pd.DataFrame(list(self.score_rows), columns=names, dtype=object)
        return frame.astype({"value": float, "repeat": int})

    def generations(self) -> pd.DataFrame:
        """As generations.parquet, the columns pages read."""
        names = ["task", "sample_id", "repeat", "ordinal", "role", "text", "prompt"]
        frame = pd.DataFrame(list(self.generation_rows), columns=names, dtype=object)
        return frame.astype({"repeat": int, "ordinal": int})

    def results(self) -> Mapping[str, Any]:
        """As results.json."""
        return self.result_table


def score_row(
    task: str,
    sample: str,
    value: float | None,
    metric: str = "correct",
    repeat: int = 0,
    **more: Any,
) -> dict[str, Any]:
    """One row of scores.parquet."""
    row = {"task": task, "sample_id": sample, "repeat": repeat, "metric": metric, "value": value}
    return row | {"reason": None, "extracted": None, "detail": "{}"} | more


def generation_row(
    task: str,
    sample: str,
    text: str,
    prompt: str = "",
    repeat: int = 0,
    ordinal: int = 0,
    role: str = "candidate",
) -> dict[str, Any]:
    """One row of generations.parquet."""
    row = {"task": task, "sample_id": sample, "repeat": repeat, "ordinal": ordinal}
    return row | {"role": role, "text": text, "prompt": prompt}
