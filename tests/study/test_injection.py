"""The regression-injection study: does the gate see damage, and let harmless changes through?

67 damaged and 66 harmless checkpoints of the pocket world, each gated live under the default policy and
judged again on items that no gate reads; then ten loops that repair damage. Records are kept in the folder
that WATERBED_STUDY names (else a temporary one), so the study goes on where it was stopped; run parts of
the file with `-k` at once to use several cores. The page is written into that folder, to be committed
beside this file. A toy model in a toy world. About 75 CPU-minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from injected_checkpoints import catalogue
from injection_records import Study
from injection_repairs import DONE, REPAIRS, held, repaired, section
from injection_table import Figures, page, share
from scipy.stats import binomtest

pytestmark = pytest.mark.study

INJECTED = catalogue()
#: The gate's own level: a harmless checkpoint may be red in so many cases.
LEVEL = 0.05


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    kept = os.environ.get("WATERBED_STUDY")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("injection")
    folder.mkdir(parents=True, exist_ok=True)
    begun = Study(folder)
    made(begun)
    return begun


@pytest.fixture(scope="module")
def figures(study: Study) -> Figures:
    """Of all checkpoints; what is not judged yet is judged now."""
    for injected in INJECTED.values():
        study.judge(injected)
    return Figures.of(study.records(), list(INJECTED))


@pytest.mark.parametrize("name", INJECTED)
def test_a_checkpoint_is_judged_by_the_gate_and_by_unseen_items(study: Study, name: str) -> None:
    record = study.judge(INJECTED[name])
    print(f"{name} (toy model): {record['gate']['outcome']}, {record['gate']['named']}")
    assert record["gate"]["exit_code"] in (0, 1, 2, 3, 4)


@pytest.mark.parametrize("name", REPAIRS)
def test_a_red_fine_tuning_is_repaired_or_ends_red(study: Study, name: str) -> None:
    record = repaired(study, REPAIRS[name])
    print(f"{name} (toy model): {record['tries']}")
    assert (record["exit_code"] == 0) == (record["accepted"] is not None)


def test_the_page_says_what_became_of_every_checkpoint(study: Study, figures: Figures) -> None:
    done = study.records(DONE)
    text = page(figures, made(study), section([done[name] for name in REPAIRS if name in done]))
    (study.folder / "injection.md").write_text(text, encoding="utf-8")
    print(text)
    assert all(f"| {injected.family} | {injected.dose} |" in text for injected in INJECTED.values())


def made(study: Study) -> str:
    """At which commit and on what day the records were begun, and on what machine."""
    file = study.folder / "made.json"
    if not file.is_file():
        asked = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
        commit = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
        day = datetime.now(UTC).date().isoformat()
        file.write_text(json.dumps({"commit": commit or "none", "day": day}), encoding="utf-8")
    known = json.loads(file.read_text(encoding="utf-8"))
    return (
        f"begun on {known['day']} at commit {known['commit']}, {os.cpu_count()} shared cores, one torch "
        "thread, no GPU"
    )


def test_both_kinds_hold_at_least_sixty_checkpoints(figures: Figures) -> None:
    meant = [judged.record["meant"] for judged in figures.everything]
    assert meant.count("damaged") >= 60
    assert len(figures.harmless) >= 60


def test_damage_of_two_margins_is_not_let_through(figures: Figures) -> None:
    stopped = share(figures.grave, lambda judged: judged.stopped)
    assert stopped.value >= 0.95, stopped
    assert share(figures.visible, lambda judged: judged.red).value >= 0.95


def test_harmless_checkpoints_are_red_no_more_often_than_the_level_says(figures: Figures) -> None:
    false = share(figures.harmless, lambda judged: judged.red)
    beyond = binomtest(false.hits, false.of, LEVEL, alternative="greater").pvalue
    assert beyond > 0.05, false
    assert share(figures.harmless, lambda judged: not judged.stopped).value >= 0.95


def test_a_named_domain_is_one_that_lost(figures: Figures) -> None:
    wrong = figures.wrongly_named()
    assert len(wrong) <= LEVEL * len(list(figures.named())), [
        (j.record["name"], c) for j, c in wrong
    ]
    grave = [judged for judged in figures.reds if judged.margins >= 2]
    assert share(grave, lambda judged: judged.worst in judged.gate["named"]).value >= 0.9


def test_what_a_loop_accepts_holds_on_items_it_never_read(study: Study) -> None:
    accepted = [r for r in (repaired(study, x) for x in REPAIRS.values()) if r["accepted"]]
    assert accepted, "no repair was accepted"
    assert sum(map(held, accepted)) >= 0.8 * len(accepted)
