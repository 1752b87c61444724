"""A leaderboard ranks only what can be ranked, as surely as the paired tests allow, and says the price."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from memory_runs import MemoryRun, make_run

from waterbed.harness.checkpoint_size import size_of
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.errors import DataError, IncomparableRuns, UsageError
from waterbed.harness.gate import gate_runs
from waterbed.harness.leaderboard import leaderboard
from waterbed.harness.leaderboard_record import Leaderboard, load_leaderboard
from waterbed.harness.policy import Policy
from waterbed.harness.statistics.ranking import recipe_mean

N = 400


def drawn(label: str, seed: int = 0, /, **rates: float) -> MemoryRun:
    """A Run whose items are right at given rates by task; equal seeds make alike Runs."""
    values = {}
    for place, (task, rate) in enumerate(sorted(rates.items())):
        hard = np.random.default_rng(place).random(N)  # how hard an item is, for every Run
        own = np.random.default_rng([seed, place]).random(N) * 0.1
        values[task] = (0.9 * hard + own < rate).astype(float).tolist()
    return make_run(label, **values)


@pytest.fixture(scope="module")
def board() -> Leaderboard:
    """A baseline, a better Run, its twin, and one that paid for maths with code."""
    return leaderboard(
        [
            drawn("better", 1, math=0.7, code=0.62, chat=0.5),
            drawn("twin", 2, math=0.7, code=0.62, chat=0.5),
            drawn("paid", 3, math=0.7, code=0.3, chat=0.5),
        ],
        baseline=drawn("old", math=0.5, code=0.6, chat=0.5),
    )


def test_ranks_are_intervals_that_runs_share_where_no_test_tells_them_apart(
    board: Leaderboard,
) -> None:
    ranks = {p.name: (p.best, p.worst) for p in board.places}
    assert ranks == {"better": (1, 2), "twin": (1, 2), "old": (3, 3), "paid": (4, 4)}
    assert board.sentence.startswith("2 of 4 Runs may be first, no test tells them apart")


def test_the_best_stands_first_and_every_score_lies_in_its_interval(board: Leaderboard) -> None:
    values = [p.overall.value for p in board.places]
    assert values == sorted(values, reverse=True)
    for place in board.places:
        means = [s.value for s in place.scores.values()]
        assert place.overall.value == pytest.approx(sum(means) / 3)
        for found in (place.overall, *place.scores.values()):
            assert 0 <= found.low < found.value < found.high <= 1


def test_differences_from_the_baseline_are_those_of_its_gate(board: Leaderboard) -> None:
    old = drawn("old", math=0.5, code=0.6, chat=0.5)
    paid = drawn("paid", 3, math=0.7, code=0.3, chat=0.5)
    verdict = gate_runs(old, paid, Policy.load("harm"))
    against = next(p.against for p in board.places if p.name == "paid")
    assert against is not None and against.exit_code == verdict.exit_code == 1
    assert (against.headline, against.worst) == ("REGRESSION", "code")
    for name, domain in verdict.domains.items():
        shown, c = against.claims[name], domain.comparison
        assert (shown.delta, shown.low, shown.high) == (c.delta, c.low, c.high)
        assert (shown.badge, shown.p_holm) == (domain.badge, domain.p_holm)


def test_the_baseline_is_ranked_and_not_gated(board: Leaderboard) -> None:
    assert board.baseline == "old"
    assert [p.name for p in board.places if p.against is None] == ["old"]


def test_each_gate_says_what_it_is_worth_among_so_many(board: Leaderboard) -> None:
    found = [p.against for p in board.places if p.against]
    assert all(a.p_harm <= a.p_harm_all <= 1 for a in found)
    harmed = next(a for a in found if a.exit_code == 1)
    assert harmed.p_harm_all == pytest.approx(min(1, 3 * harmed.p_harm))


def test_pairs_are_compared_on_the_mean_over_domains_with_holms_correction(
    board: Leaderboard,
) -> None:
    overall = {p.name: p.overall.value for p in board.places}
    assert len(board.duels) == 6
    for duel in board.duels:
        assert duel.delta == pytest.approx(overall[duel.first] - overall[duel.second])
        assert duel.p <= duel.p_holm
    (twins,) = [d for d in board.duels if {d.first, d.second} == {"better", "twin"}]
    assert twins.p_holm > 0.05


def test_a_claim_where_lower_is_better_is_shown_as_it_counts_and_ranked_the_right_way_round() -> (
    None
):
    rates = {"wild": 80, "tame": 10}
    unsafe = {name: [1.0] * k + [0.0] * (200 - k) for name, k in rates.items()}
    board = leaderboard([make_run(n, safety={"unsafe": v}) for n, v in unsafe.items()])
    first, second = board.places
    assert (first.name, first.scores["safety"].value) == ("tame", pytest.approx(0.05))
    assert (second.name, second.scores["safety"].value) == ("wild", pytest.approx(0.40))
    assert first.worst == 1 and first.overall.value == pytest.approx(0.95)


def test_items_that_share_a_fact_count_once() -> None:
    """Forty facts asked ten times: 400 items that fall by tens."""

    def clustered(label: str, right: int) -> MemoryRun:
        values = [1.0] * (10 * right) + [0.0] * (10 * (40 - right))
        run = make_run(label, knowledge=values)
        return replace(run, table=run.table.assign(cluster=[f"fact{i // 10}" for i in range(400)]))

    board = leaderboard([clustered("a", 22), clustered("b", 20)])
    (column,) = board.columns
    assert (column.items, column.units) == (400, 40)
    assert {(p.best, p.worst) for p in board.places} == {(1, 2)}, "two facts of forty prove nothing"
    alone = leaderboard(
        [
            make_run("a", knowledge=[1.0] * 220 + [0.0] * 180),
            make_run("b", knowledge=[1.0] * 200 + [0.0] * 200),
        ]
    )
    assert {(p.best, p.worst) for p in alone.places} == {(1, 1), (2, 2)}, "twenty items of 400 do"


def test_among_equals_the_ranks_hardly_ever_tell_two_apart() -> None:
    wrong = 0
    for trial in range(12):
        runs = [drawn(f"r{k}", 100 * trial + k, math=0.6, code=0.5) for k in range(4)]
        wrong += any(p.worst < 4 or p.best > 1 for p in leaderboard(runs).places)
    assert wrong <= 3, "at 5% more than 3 of 12 come in 2 of 1000 cases"


@pytest.mark.parametrize("status", ["partial", "stopped"])
def test_a_run_that_is_not_complete_is_refused_by_name(status: str) -> None:
    half = drawn("half", math=0.5, code=0.5).changed("status", status)
    runs = [drawn("whole", math=0.5), half.changed("selection", {"suites": ["core"], "limit": 400})]
    told = (
        f"'half' is {status}, .* complete it with `waterbed eval .* --suites core --limit 400 --out"
    )
    with pytest.raises(DataError, match=told):
        leaderboard(runs, suites=["math"])


def test_runs_that_were_not_made_the_same_way_are_refused_by_name() -> None:
    one, two = drawn("one", math=0.5), drawn("two", math=0.5)
    with pytest.raises(
        IncomparableRuns, match=r"'one' and 'two' .*math.version: 1 -> 2\).*or leave it out"
    ):
        leaderboard([one, two.changed("tasks/math/version", "2")])
    with pytest.raises(IncomparableRuns, match="'one' has 400 items of math and 'two' 399"):
        leaderboard([one, two.without_items("math", ["0"])])
    with pytest.raises(
        IncomparableRuns, match=r"'one' and 'three' have other tasks \(code in one only\)"
    ):
        leaderboard([one, drawn("three", math=0.5, code=0.5)])


def test_other_tasks_forbid_nothing_where_the_common_ones_are_named() -> None:
    runs = [drawn("one", math=0.5), drawn("three", 1, math=0.5, code=0.9)]
    assert [c.id for c in leaderboard(runs, suites=["math"]).columns] == ["math"]
    named = Policy.load("harm").model_copy(update={"suites": ("math",)})
    assert leaderboard(runs, policy=named).columns == leaderboard(runs, suites=["math"]).columns


def test_a_suite_that_a_run_does_not_have_is_refused_by_name() -> None:
    one, two = (make_run(n, **{"pocket/math": [1.0, 0.0] * 20}) for n in ("one", "two"))
    other = make_run("other", **{"pocket/safety": [1.0, 0.0] * 20})
    with pytest.raises(IncomparableRuns, match="'one' has no pocket/safety; evaluate every Run"):
        leaderboard([one, two], suites=["pocket/safety"])
    with pytest.raises(IncomparableRuns, match=r"other tasks \(pocket/math in one only\)"):
        leaderboard([one, other], suites=["pocket/math"])


def test_a_run_that_the_instrument_lost_too_much_of_is_no_measurement() -> None:
    hurt = drawn("hurt", math=0.5)
    few, many = ([str(i) for i in range(k)] for k in (4, 5))
    kept = leaderboard([drawn("one", math=0.5), hurt.unscored("math", few)])
    assert kept.columns[0].items == N - 4, "what one Run lost counts for none"
    with pytest.raises(DataError, match=r"'hurt' has no score on 1\.2% of its rows"):
        leaderboard([drawn("one", math=0.5), hurt.unscored("math", many)])
    with pytest.raises(DataError, match="'gone' lacks answers of math"):
        leaderboard([hurt, drawn("gone", math=0.5).without(lambda t: t["sample_id"] == "7")])


def test_one_run_or_the_same_twice_is_no_leaderboard() -> None:
    one = drawn("one", math=0.5)
    with pytest.raises(UsageError, match="two Runs or more, got 1"):
        leaderboard([one], baseline=one)
    with pytest.raises(UsageError, match="given twice"):
        leaderboard([one, drawn("two", math=0.5), one])


Priced = Callable[..., MemoryRun]


@pytest.fixture
def priced() -> Priced:
    def make(label: str, seed: int, rate: float, **known: Any) -> MemoryRun:
        run = drawn(label, seed, math=rate).changed(
            "size", {"bytes": known.get("bytes"), "parameters": 7}
        )
        return run.changed(
            "cost",
            {"wall_s": 10.0, "prompt_tokens": 400, "completion_tokens": known.get("tokens", 600)},
        )

    return make


def test_the_front_holds_what_nothing_beats_on_quality_and_every_known_cost(priced: Priced) -> None:
    board = leaderboard(
        [
            priced("good", 0, 0.8, bytes=1000),
            priced("small", 1, 0.6, bytes=300),
            priced("worse", 2, 0.5, bytes=1000),
        ]
    )
    places = {p.name: p for p in board.places}
    assert board.axes == ("bytes", "tokens_per_s")
    assert {n: p.front.on for n, p in places.items() if p.front} == {"good": True, "small": True, "worse": False}  # fmt: skip
    assert places["worse"].front and set(places["worse"].front.dominated_by) == {"good", "small"}
    assert places["good"].spent.tokens_per_s == pytest.approx(100)
    assert places["good"].front and places["good"].front.frequency == 1.0


def test_a_cost_of_nothing_is_no_axis(priced: Priced) -> None:
    runs = [priced("a", 0, 0.8, bytes=0), priced("b", 1, 0.6, bytes=5)]
    assert leaderboard(runs).axes == ("tokens_per_s",)


def test_a_cost_that_one_run_does_not_know_is_no_axis(priced: Priced) -> None:
    board = leaderboard([priced("good", 0, 0.8, bytes=1000), priced("served", 1, 0.6)])
    assert board.axes == ("tokens_per_s",)
    assert board.places[-1].spent.bytes is None


SEEDS = (0.70, 0.60, 0.65)


@pytest.fixture(scope="module")
def seeded() -> Leaderboard:
    """Three runs of a recipe that differ from seed to seed, one of another, and a baseline."""
    runs = [drawn(f"sft-{k}", k, math=rate, code=0.5) for k, rate in enumerate(SEEDS)]
    other, old = drawn("dpo-0", 7, math=0.6, code=0.5), drawn("old", 9, math=0.5, code=0.5)
    return leaderboard([*runs, other], old, recipes={"sft": runs, "dpo": [other]})


def test_a_recipe_is_the_mean_of_its_runs_with_the_error_of_seeds_and_items(
    seeded: Leaderboard,
) -> None:
    sft = next(r for r in seeded.recipes if r.name == "sft")
    runs = [drawn(n, k, math=rate, code=0.5).table for k, (n, rate) in enumerate(zip(sft.runs, SEEDS, strict=True))]  # fmt: skip
    items = np.array([t.loc[t["task"] == "math", "value"].to_numpy() for t in runs])
    wanted = recipe_mean(items, 0.9)
    shown = sft.scores["math"]
    assert (shown.value, shown.low, shown.high) == pytest.approx(
        (wanted.mean, wanted.low, wanted.high)
    )
    assert not sft.items_only
    one_run = next(p.scores["math"] for p in seeded.places if p.name == "sft-0")
    assert shown.high - shown.low > 1.5 * (one_run.high - one_run.low), "seeds vary more than items"
    overall = [p.overall.value for p in seeded.places if p.name in sft.runs]
    assert sft.overall.value == pytest.approx(sum(overall) / 3)


def test_one_run_says_nothing_of_its_recipe(seeded: Leaderboard) -> None:
    dpo = next(r for r in seeded.recipes if r.name == "dpo")
    assert dpo.items_only and dpo.runs == ("dpo-0",)


def test_a_recipe_is_held_against_the_baseline_item_by_item(seeded: Leaderboard) -> None:
    (old,) = (p for p in seeded.places if p.name == "old")
    for recipe in seeded.recipes:
        assert recipe.change is not None
        assert recipe.change.value == pytest.approx(recipe.overall.value - old.overall.value)
        for name, change in recipe.changes.items():
            assert change.value == pytest.approx(recipe.scores[name].value - old.scores[name].value)
            assert change.low < change.value < change.high


def test_a_recipe_of_runs_that_are_not_ranked_or_named_twice_is_refused() -> None:
    one, two = drawn("one", 1, math=0.5), drawn("two", 2, math=0.5)
    with pytest.raises(UsageError, match="'sft' has a Run that is not ranked"):
        leaderboard([one, two], recipes={"sft": [drawn("three", 3, math=0.5)]})
    with pytest.raises(UsageError, match="'sft' names one, one; give each of its Runs once"):
        leaderboard([one, two], recipes={"sft": [one, one]})


def test_a_claim_that_is_one_cluster_says_nothing_of_its_own_error() -> None:
    def lump(label: str, right: int) -> MemoryRun:
        run = make_run(label, knowledge=[1.0] * right + [0.0] * (20 - right))
        return replace(run, table=run.table.assign(cluster="one passage"))

    runs = [lump("a", 12), lump("b", 10)]
    board = leaderboard(runs, runs[0], recipes={"sft": runs})
    assert {(p.best, p.worst) for p in board.places} == {(1, 2)}
    (recipe,) = board.recipes
    assert (recipe.overall.value, recipe.overall.low, recipe.overall.high) == (0.55, 0.0, 1.0)


def test_the_record_comes_back_from_its_file_as_it_was(
    board: Leaderboard, seeded: Leaderboard, tmp_path: Path
) -> None:
    file = tmp_path / "leaderboard.json"
    for made in (seeded, board):
        made.save(file)
        assert load_leaderboard(file) == made
    file.write_text(json.dumps({**board.to_dict(), "schema_version": 99}))
    with pytest.raises(DataError, match="schema version 99"):
        load_leaderboard(file)
    file.write_text('{"schema_version": 1}')
    with pytest.raises(DataError, match=r"is not a leaderboard \(sentence: Field required\)"):
        load_leaderboard(file)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[" * 100_000, "recursion limit"),
        ("[]", "Input should be an object"),
        ('{"schema_version": ', "EOF"),
        ("\xff", "is not a leaderboard"),
    ],
)
def test_a_file_that_is_no_record_is_refused_in_a_sentence(
    tmp_path: Path, text: str, named: str
) -> None:
    file = tmp_path / "leaderboard.json"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=named):
        load_leaderboard(file)


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ("<b>", r"places\.1\.overall\.low: Input should be a valid number"),
        (float("nan"), "Out of range float values are not JSON compliant"),
    ],
)
def test_a_record_that_says_no_number_where_one_stands_is_refused(
    board: Leaderboard, tmp_path: Path, said: Any, named: str
) -> None:
    record = board.to_dict()
    record["places"][1]["overall"]["low"] = said
    file = tmp_path / "leaderboard.json"
    file.write_text(json.dumps(record))
    with pytest.raises(DataError, match=named):
        load_leaderboard(file)


def test_a_checkpoint_knows_its_bytes_and_its_weights_without_being_loaded(
    pocket_base: Checkpoint,
) -> None:
    file = pocket_base.path / "model.safetensors"
    found = size_of(pocket_base)
    assert found["bytes"] == file.stat().st_size
    assert found["parameters"] is not None
    assert 0 < file.stat().st_size - 4 * found["parameters"] < 20_000, "float32 and a header"


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        ({"achieved": {"after": {"parameters": 321}}}, 321),
        ({"achieved": {"after": {"parameters": "many"}}}, None),
        ({"achieved": ["after"]}, None),
        ({}, None),
    ],
)
def test_packed_weights_are_as_many_as_their_stage_counted_and_unknown_where_it_says_no_number(
    pocket_base: Checkpoint, tmp_path: Path, said: Any, counted: int | None
) -> None:
    shutil.copy(pocket_base.path / "model.safetensors", tmp_path)
    (tmp_path / "config.json").write_text('{"quantization_config": {}}')
    (tmp_path / "waterbed.json").write_text(json.dumps(said))
    assert size_of(replace(pocket_base, path=tmp_path))["parameters"] == counted
