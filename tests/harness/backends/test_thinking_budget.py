"""A thinking budget closes the thinking in the template's own way, and the model then answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_llama import TEMPLATE, answers, ask, save

import waterbed
from waterbed.harness.backends.thinking import end_marker
from waterbed.harness.backends.transformers import TransformersBackend
from waterbed.harness.comparability import compare
from waterbed.harness.errors import UsageError
from waterbed.harness.records import GenerationSettings, user

SUITE = '''
from waterbed import GenerationSettings, Sample, Score, task

@task("think/sums", domain="math", settings=GenerationSettings(max_tokens=24))
class Sums:
    """Sums."""
    def samples(self):
        return [Sample(str(n), f"{n}+1?", str(n + 1)) for n in range(6)]
    def prompt(self, sample):
        from waterbed.harness.records import user
        return user(sample.input)
    def grade(self, sample, generation):
        return Score(float(generation.text.strip() == sample.target))
'''
#: Opens the thinking in the prompt, and says how a finished one ends.
THINKS = TEMPLATE.replace("assistant|>{%", "assistant|><think>\n{%") + "{# \\n</think>\\n\\n #}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("thinker") / "model", template=THINKS)


@pytest.fixture(scope="module")
def thinker(folder: Path) -> TransformersBackend:
    return TransformersBackend(folder, threads=1, batch_size=4)


@pytest.mark.parametrize(
    ("template", "marker"),
    [
        ("{{ content.split('</think>')[-1] }}", "</think>"),
        ("{% if '</think>' in c %}{% endif %}{{ '\\n</think>\\n\\n' + c }}", "\n</think>\n\n"),
        ("<think>\n\n</think>\n\n", "\n\n</think>\n\n"),
        ("{{ '<think>' }}", "</think>"),
        ("{{ content }}", None),
        (None, None),
    ],
)
def test_the_end_marker_is_the_templates_own(template: str | None, marker: str | None) -> None:
    assert end_marker(template) == marker


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_thinking_is_closed_at_the_budget_and_the_answer_follows(
    thinker: TransformersBackend, temperature: float
) -> None:
    how = {"temperature": temperature}
    for budget in (1, 5, 12):
        free, said = (
            answers(thinker, [ask(thinker, user("two?"), **how, **limits)])[0]
            for limits in (
                {"max_tokens": budget},
                {"max_tokens": 40, "thinking_budget": budget},
            )
        )
        assert (free.text, free.stop_reason, free.thinking_closed) == ("", "length", False)
        assert (said.thinking, said.thinking_closed) == (free.thinking, True)
        assert said.text
        assert budget + len(thinker.thinking_end or ()) < said.completion_tokens <= 40


def test_a_budget_of_nothing_answers_at_once(thinker: TransformersBackend) -> None:
    said = answers(thinker, [ask(thinker, user("two?"), max_tokens=30, thinking_budget=0)])[0]
    assert (said.thinking, said.thinking_closed) == ("", True)
    assert said.text


def test_budgets_of_one_batch_do_not_touch_each_other(thinker: TransformersBackend) -> None:
    tickets = [ask(thinker, user("two?"), max_tokens=40, thinking_budget=b) for b in (3, 9, None)]
    alone = [answers(thinker, [ticket])[0] for ticket in tickets]
    together = answers(thinker, tickets)
    assert [a.text for a in together] == [a.text for a in alone]
    assert [a.thinking for a in together] == [a.thinking for a in alone]


def test_a_model_that_does_not_think_is_left_alone(tmp_path: Path) -> None:
    shut = THINKS.replace("<think>\n{%", "<think>\n\n</think>\n\n{%")
    backend = TransformersBackend(save(tmp_path / "model", template=shut), threads=1)
    with_budget = ask(backend, user("two?"), max_tokens=12, thinking_budget=4)
    said, free = answers(backend, [with_budget, ask(backend, user("two?"), max_tokens=12)])
    assert said.text == free.text
    assert not said.thinking_closed


def test_a_budget_is_part_of_the_settings_and_none_leaves_them_as_they_were() -> None:
    assert "thinking_budget" not in GenerationSettings().as_dict()
    assert GenerationSettings(thinking_budget=3).as_dict()["thinking_budget"] == 3
    for wrong in (-1, 512):
        with pytest.raises(ValueError, match="below max_tokens"):
            GenerationSettings(thinking_budget=wrong)


def test_an_evaluation_keeps_a_budget_and_other_budgets_are_not_compared(
    folder: Path, tmp_path: Path
) -> None:
    suite = tmp_path / "sums.py"
    suite.write_text(SUITE)
    runs = [
        waterbed.evaluate(
            folder,
            [str(suite)],
            tmp_path / str(budget),
            options={"threads": 1},
            settings={"thinking_budget": budget},
            cache=False,
        )
        for budget in (None, 4, 8)
    ]
    closed = [run.results()["think/sums"]["cost"].get("thinking_closed", 0) for run in runs]
    assert closed == [0, 6, 6]
    texts = [list(run.generations()["text"]) for run in runs]
    assert not any(texts[0])
    assert all(texts[1])
    refusals = compare(runs[1].manifest, runs[2].manifest, ["think/sums"]).refusals
    assert "think/sums.settings.thinking_budget: 4 -> 8" in refusals


def test_a_model_without_thinking_markers_is_refused_in_one_sentence(
    chatty: Path, tmp_path: Path
) -> None:
    suite = tmp_path / "sums.py"
    suite.write_text(SUITE)
    with pytest.raises(UsageError, match="no thinking markers"):
        waterbed.evaluate(
            chatty,
            [str(suite)],
            tmp_path / "run",
            options={"threads": 1},
            settings={"thinking_budget": 4},
        )


def test_a_task_or_backend_that_cannot_keep_a_budget_is_refused(
    folder: Path, tmp_path: Path
) -> None:
    suite = tmp_path / "sums.py"
    suite.write_text(SUITE)
    how = {"settings": {"thinking_budget": 4}}
    fake = waterbed.FakeBackend(str)
    with pytest.raises(UsageError, match="'fake' cannot end a model's thinking"):
        waterbed.evaluate(folder, [str(suite)], tmp_path / "a", backend=fake, **how)
    suite.write_text(SUITE.replace('domain="math",', 'domain="math", style="completion",'))
    with pytest.raises(UsageError, match="without a chat template"):
        waterbed.evaluate(folder, [str(suite)], tmp_path / "b", options={"threads": 1}, **how)
