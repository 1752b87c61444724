"""The words people read are a contract."""

import pytest

from waterbed.harness.statistics import sentences
from waterbed.harness.statistics.decision import decide
from waterbed.harness.statistics.paired import pair_counts, pair_scores
from waterbed.harness.statistics.planning import plan_domain


def test_the_preflight_sentence() -> None:
    assert sentences.preflight("code", plan_domain(164, 0.03, 0.10)) == (
        "code: 164 items, expected discordance 10%. At margin 3.0 a change-free candidate would "
        "PASS only 33% of the time; 80% needs 687 items, or margin 6.5, or 4 samples an item "
        "(about 4.9). Treated as ADVISORY."
    )


def test_the_preflight_sentence_of_a_domain_with_enough_items() -> None:
    assert sentences.preflight("math", plan_domain(1319, 0.03, 0.10)) == (
        "math: 1319 items, expected discordance 10%. At margin 3.0 a change-free candidate would "
        "PASS 96% of the time."
    )


def test_the_inconclusive_sentence() -> None:
    assert sentences.outcome(decide(pair_counts(10, 14, 164), 0.05)) == (
        "INCONCLUSIVE: -2.4 points, 90% CI [-7.6, +2.6]; neither a loss beyond 5.0 nor its absence "
        "is shown. 80% power at margin 5.0 and this discordance (14.6%) needs 361 items (197 more) "
        "or 4 samples an item."
    )


def test_an_inconclusive_result_never_asks_for_a_negative_number_of_items() -> None:
    few_changes = sentences.outcome(decide(pair_counts(20, 55, 1319), 0.03))
    assert few_changes.endswith("its absence is shown. More items would narrow the interval.")
    many_changes = sentences.outcome(decide(pair_counts(98, 132, 1319), 0.03))
    assert many_changes.endswith("More items or 4 samples an item would narrow the interval.")


@pytest.mark.parametrize(("n", "excluded"), [(30, "8.3"), (164, "1.6")])
def test_no_change_excludes_only_so_much(n: int, excluded: str) -> None:
    expected = f"no item changed; loss above {excluded} points is excluded at 95% (n={n})"
    assert sentences.unchanged(decide(pair_counts(0, 0, n), 0.05)) == expected
    assert expected in sentences.outcome(decide(pair_counts(0, 0, n), 0.05))


def test_a_small_set_says_what_it_can_see() -> None:
    text = sentences.outcome(decide(pair_counts(3, 3, 30), 0.03))
    assert text.endswith("small set: only losses above 19.0 points can be seen.")


def test_fewer_than_thirty_items_get_no_verdict_word() -> None:
    text = sentences.outcome(decide(pair_counts(0, 20, 20), 0.05))
    assert text.startswith("no verdict: 20 items are fewer than 30; 20 changed")
    assert not any(word in text for word in ("PASS", "FAIL", "INCONCLUSIVE"))


def test_pass_and_fail_say_what_was_shown() -> None:
    assert sentences.outcome(decide(pair_counts(60, 62, 1319), 0.03)) == (
        "PASS: -0.2 points, 90% CI [-1.5, +1.2]; a loss beyond 3.0 is excluded."
    )
    assert sentences.outcome(decide(pair_counts(20, 55, 541), 0.03)) == (
        "FAIL: -6.5 points, 90% CI [-9.2, -3.9]; the loss is real (p = 2.2e-5), and it is beyond "
        "the margin; 3.0 was allowed."
    )


def test_a_graded_domain_speaks_of_its_spread() -> None:
    old, new = [0.5] * 60, [0.25, 0.75] * 30
    text = sentences.outcome(decide(pair_scores(old, new), 0.03))
    assert "this spread (0.25) needs" in text
    assert "discordance" not in text


def test_a_blind_spot_is_never_understated() -> None:
    plan = plan_domain(164, 0.05, 0.10, family=8)
    assert plan.detectable_family is not None
    text = sentences.blind_spot("HumanEval", plan)
    assert text == (
        "HumanEval: losses below 8 points cannot be seen; 4 samples an item bring it to 7"
    )
    assert plan.detectable_family <= 0.08
    assert sentences.pooled_blind_spot(0.0201) == (
        "mean over domains: losses below 2.5 points cannot be seen"
    )
    few = sentences.blind_spot("AIME", plan_domain(3, 0.05, 0.10))
    assert few == "AIME: no loss can be seen with 3 items"


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0, "< 1e-7"), (9e-8, "< 1e-7"), (1e-7, "1.0e-7"), (2.14e-5, "2.1e-5"), (0.0341, "0.034")],
)
def test_p_values_are_short_and_end_at_the_floor_of_the_search(p: float, text: str) -> None:
    assert sentences.p_value(p) == text


@pytest.mark.parametrize(
    ("x", "text"), [(-0.024, "-2.4"), (0.026, "+2.6"), (0.0, "0.0"), (-1e-9, "0.0")]
)
def test_points_have_a_sign_and_never_a_negative_zero(x: float, text: str) -> None:
    assert sentences.points(x) == text
