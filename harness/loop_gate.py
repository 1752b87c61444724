"""How a loop judges an attempt: evaluated under its gate, then held against the anchor.

Against the checkpoint before it and, where that is another one, the anchor (gate_anchored.py). A try that
was chosen because an earlier one failed is confirmed on the reserve. Not here: what is tried
(loop_repair.py), what follows (loop.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .checkpoints import Checkpoint
from .comparability import Manifest
from .gate_anchored import cost_of, hold, items_of
from .loop_records import OUTCOMES, Judged, Node
from .policy import Policy
from .recipe import REST, Recipe, StageStep
from .roles import Others
from .run import Run
from .tasks import resolve

if TYPE_CHECKING:
    import pandas as pd

    from .verdict import Verdict

Watching = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
#: Told of each verdict with both Runs and the folder for what is made of it.
Show = Callable[["Verdict", Run, Run, Path], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Evaluates and gates the attempts of one loop."""

    recipe: Recipe
    out: Path
    say: Callable[[str], None]
    watching: Watching
    others: Others = field(default_factory=Others)
    """Who judges and who plays the user."""
    show: Show | None = None
    """Writes pages."""

    def whole(
        self,
        checkpoint: Checkpoint,
        name: str,
        suites: Sequence[str] | None = None,
        *,
        everything: bool = False,
    ) -> Run:
        """A complete Run, taken up where one was begun.

        Args:
            suites: instead of the recipe's.
            everything: also the items beyond the recipe's limit.
        """
        from .api import evaluate

        with self.watching(f"evaluate {name}") as update:
            return evaluate(
                checkpoint,
                suites or self.recipe.suites,
                self.out / "runs" / name,
                options=self._options(),
                judges=self.others.judges,
                prices=self.others.prices,
                limit=None if everything or suites else self.recipe.limit,
                seed=self.recipe.seed,
                label=name,
                progress=update,
            )

    def judge(
        self,
        attempt: str,
        checkpoint: Checkpoint,
        previous: Node,
        anchor: Node,
        step: StageStep,
        rules: Policy,
    ) -> Judged:
        """Evaluate and gate one attempt.

        Args:
            rules: the policy, with the level that this try has (see `levels`).

        Raises:
            UsageError, DataError, InstrumentError: see errors.py; what was answered is kept.
        """
        held = hold(
            previous.run,
            None if anchor.attempt == previous.attempt else anchor.run,
            rules,
            self.recipe.suites,
            step.target,
            live=lambda shared: self._live(attempt, checkpoint, previous, step, shared),
            whole=lambda: self.whole(checkpoint, attempt),
            complete=True,  # the next stage is compared with it
        )
        file = self._save(held.verdict, previous.run, held.run, attempt)
        return _judged(
            attempt,
            held.verdict,
            checkpoint=str(checkpoint.path),
            run=str(held.run.path),
            verdict=str(file),
            items=held.items,
            early=held.early,
            anchored=held.anchored,
            rules=held.rules,
        )

    def judge_again(
        self,
        judged: Judged,
        checkpoint: Checkpoint,
        previous: Node,
        anchor: Node,
        step: StageStep,
        rules: Policy,
    ) -> Judged:
        """Decide once more on all answers that are there, at another level.

        For a try that the reserve could not confirm: it is one of several, as if there were no reserve.
        """
        from .gate import gate_runs

        run = Run.open(self.out / "runs" / judged.attempt)
        kept = None if anchor.attempt == previous.attempt else anchor.run
        rules = rules.model_copy(update={"alpha_fail": judged.alpha_fail})
        verdict = gate_runs(previous.run, run, rules, step.target, self.recipe.suites, anchor=kept)
        return _judged(
            judged.attempt,
            verdict,
            checkpoint=str(checkpoint.path),
            run=str(run.path),
            verdict=str(self._save(verdict, previous.run, run, judged.attempt)),
            items=items_of(run),
            anchored=kept is not None,
            rules=rules,
        )

    def confirm(
        self,
        attempt: str,
        checkpoint: Checkpoint,
        previous: Node,
        step: StageStep,
        rules: Policy,
        *,
        before: int,
    ) -> Judged | None:
        """The same gate on items that no decision has seen; None where there are none.

        Args:
            before: confirmations of this stage that read the reserve already; the k-th has 1/(k(k+1)) of
                the level, so that however many there are together have no more than the whole.
        """
        from .gate import gate_runs

        if not self.recipe.reserve:
            return None
        old, new = self._reserved(attempt, checkpoint, previous)
        if not old.manifest["tasks"]:
            return None
        known = {entry["domain"] for entry in old.manifest["tasks"].values()}
        target = step.target if step.target and step.target.split("/")[0] in known else None
        level = rules.alpha_pass / ((before + 1) * (before + 2))
        changed = {"alpha_pass": level, "require": (), "limit": None}
        rules = rules.model_copy(update=changed)
        verdict = gate_runs(old, new, rules, target)
        file = self.out / "gates" / f"{attempt}-reserve" / "verdict.json"
        verdict.save(file)
        return _judged(
            attempt,
            verdict,
            checkpoint=str(checkpoint.path),
            run=str(new.path),
            verdict=str(file),
            items=items_of(new),
            rules=rules,
        )

    def noise(self, node: Node) -> dict[str, Any]:
        """Measure how much an accepted checkpoint differs from itself, and what that cost."""
        from .noise import measure_noise

        began = time.monotonic()
        with self.watching(f"noise of {node.attempt}") as update:
            measure_noise(node.run, progress=update)
        again = [Run.open(path) for path in sorted((node.run.path / "noise").iterdir())]
        tokens = sum(cost_of(run)["tokens"] for run in again)
        return {"seconds": round(time.monotonic() - began, 3), "cost": {"tokens": tokens}}

    def _live(
        self, attempt: str, checkpoint: Checkpoint, previous: Node, step: StageStep, rules: Policy
    ) -> Run:
        from .gate_live import evaluate_live

        with self.watching(f"evaluate {attempt}") as update:
            return evaluate_live(
                previous.run,
                checkpoint,
                rules,
                self.recipe.suites,
                self.out / "runs" / attempt,
                target=step.target,
                options=self._options(),
                others=self.others,
                limit=self.recipe.limit,
                progress=update,
                note=self.say,
            )

    def _reserved(
        self, attempt: str, checkpoint: Checkpoint, previous: Node
    ) -> tuple[Run | Rest, Run | Rest]:
        """Both sides on the reserve."""
        sides = [(previous.checkpoint, previous.attempt), (checkpoint, attempt)]
        reserve = self.recipe.reserve
        if isinstance(reserve, tuple):
            runs = [self.whole(c, f"{n}-reserve", reserve) for c, n in sides]
            return runs[0], runs[1]
        whole = [self.whole(c, f"{n}-reserve", everything=True) for c, n in sides]
        read = previous.run.scores()[["task", "sample_id"]]
        seen = frozenset(zip(read["task"], read["sample_id"], strict=True))
        return Rest.of(whole[0], seen), Rest.of(whole[1], seen)

    def _save(self, verdict: Verdict, old: Run, new: Run, attempt: str) -> Path:
        folder = self.out / "gates" / attempt
        verdict.save(folder / "verdict.json")
        if self.show:
            self.show(verdict, old, new, folder)
        return folder / "verdict.json"

    def _options(self) -> dict[str, Any]:
        recipe = self.recipe
        return {
            "device": recipe.device,
            "threads": recipe.threads,
            "batch_size": recipe.batch_size,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """A Run without the items that a decision has read."""

    path: Path
    label: str
    status: str
    manifest: Manifest
    """With the items that are left, and only the tasks that have some."""
    left: Callable[[pd.DataFrame], pd.DataFrame]
    """Drops the rows of the others."""
    run: Run

    @classmethod
    def of(cls, run: Run, seen: frozenset[tuple[str, str]]) -> Rest:
        """What is left of a Run without the items `seen`: (task, sample id)."""
        entries = {}
        for name, entry in run.manifest["tasks"].items():
            left = int(entry["items"]) - sum(task == name for task, _ in seen)
            if left > 0:
                entries[name] = {**entry, "items": left, "items_in_full": left}

        def unseen(table: pd.DataFrame) -> pd.DataFrame:
            places = zip(table["task"], table["sample_id"], strict=True)
            return table[[place not in seen for place in places]]

        return cls(
            path=run.path,
            label=run.label,
            status=run.status,
            manifest={**run.manifest, "tasks": entries},
            left=unseen,
            run=run,
        )

    def scores(self) -> pd.DataFrame:
        """See `Run.scores`."""
        return self.left(self.run.scores())

    def generations(self) -> pd.DataFrame:
        """See `Run.generations`."""
        return self.left(self.run.generations())


def levels(rules: Policy, number: int, tries: int, *, reserve: bool) -> Policy:
    """The policy of one try.

    To take the first of several tries that is green is a choice among them. Where no reserve confirms
    it, each later try gets its share of `alpha_pass`; `alpha_fail` stays, or harm would be let through.

    Args:
        number: of the try, from 1.
        tries: how many the recipe allows at this stage, fixed before the first.
    """
    if number == 1 or reserve:
        return rules
    return rules.model_copy(update={"alpha_pass": rules.alpha_pass / tries})


def has_reserve(recipe: Recipe) -> bool:
    """Whether any item is left to confirm with."""
    if recipe.reserve == REST:
        return any(len(task.items) > (recipe.limit or 0) for task in resolve(recipe.suites))
    return bool(recipe.reserve)


def _judged(attempt: str, found: Verdict, *, rules: Policy, **known: Any) -> Judged:
    kept = found.anchor.domain_list if found.anchor else ()
    lost = [d.domain for d in (*found.domain_list, *kept) if d.badge == "fail"]
    deltas: Mapping[str, float | None] = {d.id: d.delta for d in found.domain_list}
    return Judged(
        attempt=attempt,
        outcome=OUTCOMES[found.exit_code],
        exit_code=found.exit_code,
        headline=found.headline,
        sentence=found.sentence,
        lost=tuple(dict.fromkeys(lost)),
        deltas=deltas,
        alpha_pass=rules.alpha_pass,
        alpha_fail=rules.alpha_fail,
        **known,
    )
