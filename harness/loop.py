"""The closed loop: stages one after the other, each gated; what is lost is rolled back or repaired.

Every stage starts from the checkpoint that was accepted last and is gated against it and against the
anchor, the first of all. Attempts form a tree; the deepest accepted one is promoted (`accepted`, a link, and
`accepted.json`). What was made, measured and decided stands in `loop.jsonl`, in the order it happened,
and is taken from there after a kill. Not here: what repairs try (loop_repair.py), how an attempt is
judged (loop_gate.py), pages.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .checkpoints import Checkpoint, open_checkpoint
from .errors import DataError, Interrupted, StoreError, UsageError, WaterbedError
from .gate_anchored import cost_of
from .loop_attempt import promote, train
from .loop_case import Case
from .loop_gate import Bench, Show, Watching, has_reserve, levels
from .loop_journal import SUMMARY, Event, LoopJournal, write_json
from .loop_records import Judged, LoopResult, Node, Proposal, Skipped
from .loop_repair import learned, proposals
from .loop_summary import spent, summary
from .recipe import Recipe, StageStep
from .roles import Others
from .run import Run

#: Which exit code is said when several hold.
_ORDER = (4, 1, 3, 0)
#: The same among the tries at one stage: what was shown outranks what could not be.
_CODES = (("invalid", 4), ("red", 1), ("broken", 4), ("inconclusive", 3))


def _silent(_: str) -> None:
    """Nobody listens."""


def _unread(_: Path) -> None:
    """Nobody reads along."""


@contextlib.contextmanager
def _unwatched(_: str) -> Iterator[Callable[[int, int], None]]:
    yield lambda _done, _total: None


def loop(
    recipe: Recipe | str | Path,
    out: str | Path,
    *,
    resume: bool = False,
    others: Others = Others(),
    say: Callable[[str], None] = _silent,
    watching: Watching = _unwatched,
    show: Show | None = None,
    told: Callable[[Path], object] = _unread,
) -> LoopResult:
    """Run a recipe into a folder, or go on with the loop that was begun there.

    Args:
        recipe: a Recipe or its YAML file.
        resume: go on; without it a folder that holds a loop is refused.
        others: who judges and who plays the user in every evaluation; a recipe never says that.
        say: told in a sentence what was decided and why.
        watching: `with watching(what) as update:`, and `update(done, total)` while it lasts.
        show: called with each verdict, both Runs and a folder, for pages.
        told: called with the loop's folder whenever `loop.json` was written anew.

    Raises:
        ConfigError: the recipe does not validate; lists every problem.
        UsageError: another loop runs there, or one of another recipe was begun there.
        DataError, InstrumentError: see errors.py; the same call with `resume` goes on.
    """
    given = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    given.check()
    folder = Path(out).resolve()  # the journal names files, and may be read from elsewhere
    with LoopJournal(folder) as journal:
        bench = Bench(
            recipe=given, out=folder, others=others, say=say, watching=watching, show=show
        )
        _begin(given, journal, resume=resume, say=say)
        return _Loop(given, journal, bench, told).run()


def _begin(
    recipe: Recipe, journal: LoopJournal, *, resume: bool, say: Callable[[str], None]
) -> None:
    """Record the recipe, or hold it against the one that this loop was begun with."""
    begun = journal.found("begun", "loop")
    if begun and not resume:
        raise UsageError(
            f"'{journal.folder}' holds a loop already; go on with --resume, or choose another --out."
        )
    if begun and begun["digest"] != recipe.digest:
        raise UsageError(
            f"The loop in '{journal.folder}' was begun with another recipe ({begun['digest'][:12]}, this "
            f"is {recipe.digest[:12]}); give that one, or choose another --out."
        )
    if begun:
        done = sum(event["kind"] == "decided" for event in journal.events)
        say(f"Going on: {done} attempts are decided already.")
    whole = recipe.model_dump(mode="json")
    journal.once("begun", "loop", lambda: {"digest": recipe.digest, "recipe": whole})


@dataclass(slots=True)
class _End:
    """How one stage ended."""

    code: int
    node: Node | None
    go_on: bool


@dataclass(slots=True)
class _Loop:
    """One sitting of a loop."""

    recipe: Recipe
    journal: LoopJournal
    bench: Bench
    told: Callable[[Path], object]
    anchor: Node | None = None
    accepted: Node | None = None
    stopped: str | None = None
    """Why no further attempt is made, beside what the gates said."""
    learned: dict[str, int | None] = field(default_factory=dict)
    targets: set[str] = field(default_factory=set)
    """Both of what was accepted, the base included; see `Case`."""

    def run(self) -> LoopResult:
        """All stages; the summary is written whatever happens."""
        try:
            node = self.anchor = self._base()
            codes = []
            for step in self.recipe.stages:
                end = self._stage(step, node)
                codes.append(end.code)
                node = end.node or node
                if not end.go_on:
                    break
            code = next(c for c in _ORDER if c in codes)
        except WaterbedError as error:
            self._summarize("failed", error.exit_code, str(error))
            raise
        except KeyboardInterrupt as error:
            sentence = "Stopped; all that was done is kept, and --resume goes on from there."
            self._summarize("failed", Interrupted.exit_code, sentence)
            raise Interrupted(sentence) from error
        sentence = self._closing(code, node)
        self.bench.say(sentence)
        found = self._summarize("stopped" if self.stopped else "finished", code, sentence)
        path = str(node.checkpoint.path) if node else None
        return LoopResult(code, sentence, path, node.checkpoint.digest if node else None, found)

    def _base(self) -> Node | None:
        """The checkpoint that the recipe starts from, evaluated."""
        if self.recipe.base is None:
            return None
        checkpoint = open_checkpoint(self.recipe.base)

        def evaluated() -> dict[str, Any]:
            run = self.bench.whole(checkpoint, "base")
            return {
                "checkpoint": str(checkpoint.path),
                "digest": checkpoint.digest,
                "run": str(run.path),
                "cost": cost_of(run),
            }

        event = self.journal.once("base", "base", evaluated)
        self._unchanged(checkpoint, event)
        node = Node("base", checkpoint, Run.open(event["run"]))
        self._promote(node, "the base of the recipe")
        self.learned = learned(checkpoint.settings)
        return node

    def _stage(self, step: StageStep, start: Node | None) -> _End:
        """Try one stage until an attempt is accepted or nothing is left to try."""
        case = Case(
            step,
            start.checkpoint if start else None,
            learned=dict(self.learned),
            targets=frozenset(self.targets),
        )
        for proposal in proposals(case):
            if isinstance(proposal, Skipped):
                self._skip(step, proposal, len(case.judged))
                continue
            name = f"{step.name}.{len(case.judged) + 1}"
            if why := self._enough(step, name, len(case.judged)):
                return self._give_up(step, case, why)
            judged = self._attempt(name, proposal, step, start, case)
            case.judged.append(judged)
            if judged.outcome == "green" and judged.checkpoint and judged.run:
                made = open_checkpoint(judged.checkpoint)
                node = Node(name, made, Run.open(judged.run))
                self.anchor = self.anchor or node
                label = self._decision(name)["label"]
                self._promote(node, label)
                self.learned = learned(proposal.settings, self.learned)
                self.targets |= {step.target.split("/")[0]} if step.target else set()
                return _End(0, node, go_on=True)
            if judged.outcome == "invalid":
                return self._give_up(step, case, "its data cannot be believed")
        return self._give_up(step, case, None)

    def _give_up(self, step: StageStep, case: Case, why: str | None) -> _End:
        """No attempt at a stage was accepted."""
        if not case.judged:
            self.stopped = f"'{step.name}' was not begun: {why}"
            return _End(3, None, go_on=False)
        last, action = case.judged[-1], case.action()
        outcomes = {judged.outcome for judged in case.judged}
        code = next(code for outcome, code in _CODES if outcome in outcomes)
        ends = action if action in ("stop", "rollback") else step.otherwise
        back = ends == "rollback" and last.outcome != "invalid" and case.start and not self.stopped
        tried = f"none of {len(case.judged)} tries at '{step.name}' was accepted"
        reason = f"{tried}, and {why}" if why else tried
        if back:
            self.bench.say(f"{step.name}: rolled back, {reason}; going on from before it.")
        else:
            self.stopped = reason
        return _End(code, None, go_on=bool(back))

    def _enough(self, step: StageStep, name: str, made: int) -> str | None:
        """Why this attempt is not made; one that was decided in an earlier sitting stands."""
        if self.journal.found("trained", name):
            return None
        if made >= step.tries:
            return f"its {step.tries} tries are used up"
        return spent(self.journal.events).beyond(self.recipe.budget)

    def _attempt(
        self, name: str, proposal: Proposal, step: StageStep, start: Node | None, case: Case
    ) -> Judged:
        """Make, judge and decide one attempt, or take from the journal what was done of it."""
        made = self.journal.once(
            "trained",
            name,
            lambda: train(
                self.journal.folder, self.recipe, name, proposal, start, self.bench.watching
            ),
        )
        if made.get("broken"):
            judged = Judged(
                attempt=name,
                outcome="broken",
                exit_code=4,
                headline="BROKEN",
                sentence=made["broken"],
            )
        else:
            checkpoint = open_checkpoint(made["checkpoint"])
            self._unchanged(checkpoint, made)
            event = self.journal.once(
                "judged", name, lambda: self._judge(name, checkpoint, step, start, case)
            )
            judged = Judged(**event["verdict"])
        self._decide(name, judged, proposal, case)
        return judged

    def _judge(
        self, name: str, checkpoint: Checkpoint, step: StageStep, start: Node | None, case: Case
    ) -> dict[str, Any]:
        """Gate an attempt, and confirm one that was chosen after another failed."""
        if start is None or self.anchor is None:
            return self._take_as_anchor(name, checkpoint)
        began, number, anchor = time.monotonic(), len(case.judged) + 1, self.anchor
        rules = self.recipe.rules(step)
        shared = levels(rules, number, step.tries, reserve=has_reserve(self.recipe))
        judged = self.bench.judge(name, checkpoint, start, anchor, step, shared)
        confirmed = None
        if number > 1 and judged.outcome == "green":
            before = self._confirmations(step)
            confirmed = self.bench.confirm(name, checkpoint, start, step, rules, before=before)
        runs = [Run.open(j.run) for j in (judged, confirmed) if j and j.run]
        cost = {key: sum(cost_of(run)[key] for run in runs) for key in cost_of(runs[0])}
        if confirmed and confirmed.outcome == "red":
            judged = replace(
                judged,
                outcome="red",
                exit_code=1,
                headline=confirmed.headline,
                lost=confirmed.lost,
                sentence=f"On the reserve: {confirmed.sentence}",
            )
        elif confirmed and confirmed.outcome != "green":
            unconfirmed = levels(rules, number, step.tries, reserve=False)
            judged = self.bench.judge_again(judged, checkpoint, start, anchor, step, unconfirmed)
        found = {"verdict": judged.as_dict(), "seconds": _since(began), "cost": cost}
        return {**found, **({"confirmation": confirmed.as_dict()} if confirmed else {})}

    def _take_as_anchor(self, name: str, checkpoint: Checkpoint) -> dict[str, Any]:
        """The first checkpoint of a loop without a base."""
        began = time.monotonic()
        run = self.bench.whole(checkpoint, name)
        judged = Judged(
            attempt=name,
            outcome="green",
            exit_code=0,
            headline="ANCHOR",
            sentence="The first checkpoint of the loop is its anchor; there is nothing to lose yet.",
            checkpoint=str(checkpoint.path),
            run=str(run.path),
        )
        return {"verdict": judged.as_dict(), "seconds": _since(began), "cost": cost_of(run)}

    def _confirmations(self, step: StageStep) -> int:
        """How often attempts at this stage have read the reserve."""
        return sum(
            event["kind"] == "judged"
            and "confirmation" in event
            and event["key"].rpartition(".")[0] == step.name
            for event in self.journal.events
        )

    def _decide(self, name: str, judged: Judged, proposal: Proposal, case: Case) -> None:
        """Record and say what becomes of an attempt."""
        known = self.journal.found("decided", name)
        event = self.journal.once(
            "decided", name, lambda: _decision(judged, self.journal.found("judged", name), case)
        )
        if known:
            return
        self.bench.say(
            f"{name} ({proposal.stage}, {proposal.why}): {judged.headline}. {judged.sentence}"
        )
        more = "" if event["label"].startswith("accepted") else f"; by the recipe: {event['next']}"
        self.bench.say(f"{name}: {event['label']}{more}.")
        self._summarize("running", None, None)

    def _decision(self, name: str) -> Event:
        found = self.journal.found("decided", name)
        assert found is not None
        return found

    def _skip(self, step: StageStep, skipped: Skipped, number: int) -> None:
        key = f"{step.name}/{skipped.how}/{number}"
        if not self.journal.found("skipped", key):
            self.bench.say(f"{step.name}: no {skipped.how}, {skipped.why}.")
        self.journal.once("skipped", key, lambda: {"how": skipped.how, "why": skipped.why})

    def _unchanged(self, checkpoint: Checkpoint, event: Event) -> None:
        if checkpoint.digest != event["digest"]:
            raise DataError(
                f"'{checkpoint.path}' is another checkpoint by now ({checkpoint.short}, the loop knows "
                f"{event['digest'][:12]}); put it back, or begin anew in another --out."
            )

    def _promote(self, node: Node, label: str) -> None:
        self.accepted = node
        promote(self.journal.folder, node, label, recipe=self.recipe.digest)
        if self.recipe.noise:
            self.journal.once("noise", node.attempt, lambda: self.bench.noise(node))

    def _closing(self, code: int, node: Node | None) -> str:
        where = (
            f"accepted is {node.attempt} ({node.checkpoint.short})" if node else "nothing accepted"
        )
        if self.stopped:
            return f"Stopped, since {self.stopped}; {where}; exit code {code}."
        done = "every stage was accepted" if code == 0 else "a stage was rolled back"
        return f"Finished, {done}; {where}; exit code {code}."

    def _summarize(self, status: str, code: int | None, sentence: str | None) -> Mapping[str, Any]:
        found = summary(self.journal.events, status, code, sentence, self.accepted)
        # A full disk must not hide the sentence that says so.
        try:
            write_json(self.journal.folder / SUMMARY, found)
        except StoreError:
            if status != "failed":
                raise
        else:
            self.told(self.journal.folder)
        return found


def _decision(judged: Judged, event: Event | None, case: Case) -> dict[str, Any]:
    """What becomes of an attempt, with its evidence."""
    evidence = {**judged.as_dict(), "confirmation": (event or {}).get("confirmation")}
    if judged.outcome == "green":
        return {
            "label": _label(event or {}, first=not case.judged),
            "next": None,
            "evidence": evidence,
        }
    judged_first = case.judged[0] if case.judged else judged
    action = Case(case.step, case.start, [judged_first]).action()
    return {"label": f"rejected ({judged.outcome})", "next": action, "evidence": evidence}


def _label(event: Event, *, first: bool) -> str:
    if first:
        return "accepted"
    confirmed = event.get("confirmation")
    if confirmed and confirmed["outcome"] == "green":
        return "accepted (confirmed on the reserve)"
    return "accepted (selection not confirmed)"


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)
