"""Several answers an item: what is made of them, what they cost, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import waterbed
from waterbed import FakeBackend
from waterbed.harness.backends.base import Ticket
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.comparability import compare
from waterbed.harness.errors import Interrupted, UnknownName, UsageError
from waterbed.harness.records import Answer, Fault, Generation, Sample, Score
from waterbed.harness.rewards import make_scorer, scorer, scorers
from waterbed.harness.run import Run
from waterbed.harness.sampling import Attempt, Sampling, figures, mean_and_error
from waterbed.harness.tasks import Task, resolve

TOYS = str(Path(__file__).with_name("toy_tasks.py"))
SOME = Checkpoint(Path("some"), "0" * 64)


@pytest.fixture
def sums() -> Task:
    return {t.name: t for t in resolve([TOYS])}["toy/sums"]


def attempts(*said: str | None, gold: str = "7", tokens: int = 10) -> list[Attempt]:
    return [Attempt(Score(float(text == gold), extracted=text), tokens) for text in said]


def named(task: Task, *items: list[Attempt]) -> dict[str, list[Attempt]]:
    return {sample.id: own for sample, own in zip(task.items, items, strict=False)}


def means(found: dict[str, Any]) -> dict[str, float | None]:
    return {name: figure["mean"] for name, figure in found["figures"].items()}


def test_the_average_is_over_answers_and_pass_at_k_is_unbiased(sums: Task) -> None:
    items = named(sums, attempts("7", "1", "1", "1"), attempts("7", "7", "7", "7"))
    found = means(figures(sums, items, Sampling()))
    assert found["avg@4"] == found["pass@1"] == (0.25 + 1) / 2
    assert found["pass@2"] == pytest.approx((0.5 + 1) / 2)
    assert found["pass@4"] == 1.0


def test_the_most_frequent_answer_wins_and_of_equals_the_first_seen(sums: Task) -> None:
    items = named(
        sums,
        attempts("1", "7", "7", "2"),
        attempts("7", "1", "1", "7"),
        attempts("1", "7", "1", "7"),
    )
    found = figures(sums, items, Sampling())
    assert found["figures"]["maj@4"]["mean"] == pytest.approx(2 / 3)
    assert "first seen" in found["notes"]["maj"]


def test_only_the_first_k_vote_and_what_cannot_be_read_has_no_vote(sums: Task) -> None:
    found = figures(sums, named(sums, attempts("7", None, "1", "1", "1")), Sampling(k=(2, 4)))
    assert means(found)["maj@2"] == 1.0
    assert means(found)["maj@4"] == 0.0
    silent = figures(sums, named(sums, attempts(None, None), attempts("7", "7")), Sampling())
    assert means(silent)["maj@2"] == 0.5


def test_a_task_without_extracted_answers_says_that_there_is_no_majority(sums: Task) -> None:
    found = figures(sums, named(sums, attempts(None, None)), Sampling())
    assert not [name for name in found["figures"] if name.startswith("maj")]
    assert "extracts no answer" in found["absent"]["maj"]


def test_programs_have_no_majority(sums: Task) -> None:
    programs = dataclasses.replace(sums, roles=("sandbox",))
    found = figures(programs, named(sums, attempts("7", "7")), Sampling())
    assert "programs" in found["absent"]["maj"]


def test_an_item_counts_where_enough_of_its_answers_are_scored(sums: Task) -> None:
    lost = Attempt(Score.unscored("backend_error"), 0)
    items = named(sums, [*attempts("7", "1"), lost], attempts("7", "7", "7"), [lost, lost, lost])
    found = figures(sums, items, Sampling())["figures"]
    assert (found["avg@3"]["mean"], found["avg@3"]["n"]) == (0.75, 2)
    assert (found["pass@3"]["mean"], found["pass@3"]["n"], found["pass@3"]["unscored"]) == (1, 1, 2)


def test_one_answer_an_item_has_no_such_figures(sums: Task) -> None:
    assert figures(sums, named(sums, attempts("7"), attempts("1")), Sampling()) == {}


def test_the_error_treats_answers_to_one_item_as_one_unit() -> None:
    alone = mean_and_error([1.0, 0.0, 1.0, 0.0], ["a", "b", "c", "d"])
    assert alone["se"] == pytest.approx(math.sqrt(1 / 3 / 4))
    copies = mean_and_error([1.0, 0.0, 1.0, 0.0] * 4, ["a", "b", "c", "d"] * 4)
    assert copies["se"] == pytest.approx(alone["se"])
    assert mean_and_error([1.0, 0.0], ["a", "a"])["se"] is None


def test_each_figure_costs_the_answers_it_uses(sums: Task) -> None:
    items = named(sums, attempts("7", "1", "1", "1"), attempts("7", "7", "7", "7"))
    cost = figures(sums, items, Sampling())["per_solved"]
    assert cost["avg@4"] == pytest.approx(2 * 10 / 1.25)
    assert cost["pass@2"] == pytest.approx(2 * 20 / 1.5)
    assert cost["maj@4"] == pytest.approx(2 * 40 / 1)


class Cycling(FakeBackend):
    """Says the next of its answers to a prompt at each repeat."""

    def __init__(self, answers: Callable[[str], Sequence[str]]) -> None:
        super().__init__(str, batch_size=16)
        self.answers = answers
        self.asked = 0

    def answer(self, tickets: Sequence[Ticket]) -> Iterator[tuple[int, Answer | Fault]]:
        for index, ticket in enumerate(tickets):
            self.asked += 1
            said = self.answers(ticket.rendered)
            text = said[ticket.repeat % len(said)]
            yield index, Generation(text, completion_tokens=len(text.split()))


def right_once_in_three(prompt: str) -> list[str]:
    a, b = prompt.rstrip("=").split("+")
    return ["no idea at all", str(int(a) + int(b)), "no idea"]


def sampled(out: Path, sums: Task, backend: FakeBackend | None = None, **how: Any) -> Run:
    source = Path(TOYS).read_text().split('@task("toy/dialogue"')[0]
    file = out.parent / "sums.py"
    file.write_text(source)
    engine = backend or Cycling(right_once_in_three)
    return waterbed.evaluate(SOME, [str(file)], out, backend=engine, **how)


def test_any_task_is_sampled_when_several_answers_are_asked(sums: Task, tmp_path: Path) -> None:
    run = sampled(tmp_path / "run", sums, samples=3)
    entry = run.manifest["tasks"]["toy/sums"]
    assert (entry["repeats"], entry["settings"]["temperature"]) == (3, 0.6)
    result = run.results()["toy/sums"]
    found = {name: figure["mean"] for name, figure in result["sampling"]["figures"].items()}
    assert found["avg@3"] == pytest.approx(1 / 3)
    assert found["pass@3"] == 1.0
    assert found["maj@3"] == 0.0
    assert result["metrics"]["correct"]["mean"] == found["avg@3"]
    assert result["cost"]["per_solved"] == result["cost"]["per_solved_by"]["pass@3"] == 7


def test_a_scorer_chooses_and_the_tasks_own_grader_is_called_an_oracle(
    sums: Task, tmp_path: Path
) -> None:
    how = {"short": "shortest", "long": "longest", "oracle": "toy/sums"}
    found = {}
    for name, by in how.items():
        sampling = Sampling(n=4, best_of=3, scorer=by)
        run = sampled(tmp_path / name, sums, samples=sampling)
        found[by] = run.results()["toy/sums"]["sampling"]
    assert found["shortest"]["figures"]["best_of_3[shortest]"]["mean"] == 1.0
    assert found["longest"]["figures"]["best_of_3[longest]"]["mean"] == 0.0
    oracle = found["toy/sums"]
    assert oracle["figures"]["best_of_3[toy/sums, oracle]"]["mean"] == 1.0
    assert "upper bound" in oracle["notes"]["best_of_3[toy/sums, oracle]"]


def test_a_scorer_that_can_score_nothing_is_absent_with_its_reason(
    sums: Task, tmp_path: Path
) -> None:
    run = sampled(tmp_path / "run", sums, samples=Sampling(best_of=2, scorer="logprob"))
    assert run.results()["toy/sums"]["sampling"]["absent"] == {
        "best_of_2[logprob]": "the backend gives no log-probabilities of sampled answers"
    }


def test_a_scorer_of_ones_own_plugs_in_by_name(sums: Task, tmp_path: Path) -> None:
    @scorer("test-digits")
    def make(task: Task, text: str) -> Any:
        def score(samples: Sequence[Sample], generations: Sequence[Generation]) -> list[Score]:
            return [Score(float(g.text.isdigit())) for g in generations]

        return score

    try:
        run = sampled(tmp_path / "run", sums, samples=Sampling(best_of=3, scorer="test-digits"))
    finally:
        scorers._items.pop("test-digits")
    figure = run.results()["toy/sums"]["sampling"]["figures"]["best_of_3[test-digits]"]
    assert figure["mean"] == 1.0


def test_a_run_with_several_answers_resumes_without_asking_twice(
    sums: Task, tmp_path: Path
) -> None:
    whole = sampled(tmp_path / "whole", sums, samples=3)

    def interrupted(done: int, total: int) -> None:
        if done == 50:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        sampled(tmp_path / "cut", sums, samples=3, progress=interrupted)
    rest = Cycling(right_once_in_three)
    resumed = sampled(tmp_path / "cut", sums, rest, samples=3)
    assert 0 < rest.asked <= 3 * 40 - 50
    for name in ("results.json", "scores.parquet"):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes()
    with pytest.raises(UsageError, match="repeats = 3, now it is 4"):
        sampled(tmp_path / "cut", sums, samples=4)


def test_runs_with_other_numbers_of_answers_are_not_compared(sums: Task, tmp_path: Path) -> None:
    three = sampled(tmp_path / "three", sums, samples=3)
    four = sampled(tmp_path / "four", sums, samples=4)
    refusals = compare(three.manifest, four.manifest, ["toy/sums"]).refusals
    assert "toy/sums.repeats: 3 -> 4" in refusals


def test_other_figures_over_the_same_answers_need_no_model(sums: Task, tmp_path: Path) -> None:
    sampled(tmp_path / "run", sums, samples=3)

    def never(prompt: str) -> str:
        raise AssertionError(prompt)

    again = sampled(
        tmp_path / "run",
        sums,
        FakeBackend(never),
        samples=Sampling(n=3, best_of=3, scorer="shortest"),
    )
    found = again.results()["toy/sums"]["sampling"]["figures"]
    assert found["best_of_3[shortest]"]["mean"] == 1.0


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"n": 0}, "--samples must be at least 1, got 0"),
        ({"n": 2, "k": (0,)}, "--k must be at least 1, got 0"),
        ({"best_of": -1, "scorer": "logprob"}, "--best-of must be at least 1, got -1"),
        ({"best_of": 4}, "need each other"),
        ({"scorer": "logprob"}, "need each other"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(how: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Sampling(**how)


@pytest.mark.parametrize(
    ("sampling", "said"),
    [
        (Sampling(n=4, k=(8,)), "--k 8 needs more answers than the 4"),
        (Sampling(n=4, best_of=8, scorer="logprob"), "--best-of 8 needs more answers than the 4"),
        (Sampling(n=4, best_of=4, scorer="toy/dialogue"), "multi-turn and cannot be a scorer"),
        (Sampling(n=4, best_of=4, scorer="logprob:x"), "takes no 'x'"),
        (Sampling(n=4, best_of=4, scorer="reward-model"), "reward-model:FOLDER"),
        (Sampling(n=4, best_of=4, scorer="reward-model:/nowhere"), "/nowhere"),
    ],
)
def test_what_a_task_cannot_do_is_refused(sums: Task, sampling: Sampling, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        sampling.decoded(sums, {})


def test_an_unknown_scorer_is_refused_with_the_nearest_name(sums: Task) -> None:
    with pytest.raises(UnknownName, match="did you mean 'logprob'"):
        make_scorer("logprobs", sums, {})


def test_best_of_a_dialogue_is_refused() -> None:
    dialogue = {t.name: t for t in resolve([TOYS])}["toy/dialogue"]
    with pytest.raises(UsageError, match="no single answer"):
        Sampling(best_of=2, scorer="shortest").decoded(dialogue, {})


def test_several_answers_at_temperature_0_are_refused(sums: Task) -> None:
    with pytest.raises(UsageError, match="one answer"):
        Sampling(n=4).decoded(sums, {"temperature": 0.0})
    assert Sampling(n=4).decoded(sums, {"temperature": 1.0}).settings.temperature == 1.0
    assert Sampling(n=1).decoded(sums, {}).settings.greedy


def test_the_command_line_samples_a_real_model_and_shows_what_came_of_it(
    waterbed: Callable[..., Any], pocket_base: Checkpoint, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    suite = ["--suites", "pocket/math", "--limit", 12, "--threads", 1, "--no-cache"]
    choice = ["--samples", 4, "--k", "1,4", "--best-of", 4, "--scorer", "logprob"]
    done = waterbed("eval", pocket_base.path, *suite, *choice, "--out", out)
    assert done.code == 0, done.err
    for shown in ("avg@4", "pass@1", "pass@4", "maj@4", "best_of_4[logprob]", "tokens/solved"):
        assert shown in done.out
    found = Run.open(out).results()["pocket/math"]
    figures = {name: figure["mean"] for name, figure in found["sampling"]["figures"].items()}
    assert figures["avg@4"] == pytest.approx(figures["pass@1"])
    assert figures["pass@4"] >= max(figures["maj@4"], figures["best_of_4[logprob]"])
    assert found["cost"]["per_solved_by"].keys() == figures.keys()
    page = waterbed("report", out)
    assert page.code == 0, page.err
    html = (out / "report.html").read_text()
    assert "best_of_4[logprob]" in html
    assert "per solved item, maj@4" in html


def test_the_models_own_log_probability_is_that_of_its_answers(
    pocket_base: Checkpoint, tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    how: dict[str, Any] = {"options": {"threads": 1}, "limit": 3, "cache": False}
    out = tmp_path / "run"
    run = waterbed.evaluate(pocket_base, ["pocket/math"], out, samples=2, **how)
    lines = (out / "answers.jsonl").read_text().splitlines()
    told = {row["text"]: row["logprob"] for row in (json.loads(line)["answer"] for line in lines)}
    rows = run.generations().to_dict("records")
    model = AutoModelForCausalLM.from_pretrained(pocket_base.path)
    tokenizer = AutoTokenizer.from_pretrained(pocket_base.path)
    checked = 0
    for row in rows:
        prompt = tokenizer(row["prompt"], add_special_tokens=False)["input_ids"]
        answer = tokenizer(row["text"], add_special_tokens=False)["input_ids"]
        answer.append(tokenizer.eos_token_id)
        if row["stop_reason"] != "stop" or len(answer) != row["completion_tokens"]:
            continue
        with torch.inference_mode():
            logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
        wanted = logits.log_softmax(-1).gather(-1, torch.tensor(answer)[:, None]).sum()
        assert told[row["text"]] == pytest.approx(float(wanted), abs=1e-3)
        checked += 1
    assert checked


def test_a_reward_model_chooses_by_its_folder(pocket_base: Checkpoint, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = tmp_path / "reward"
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(pocket_base.path, num_labels=1)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(pocket_base.path).save_pretrained(folder)
    chosen = Sampling(best_of=3, scorer=f"reward-model:{folder}")
    how: dict[str, Any] = {"options": {"threads": 1}, "limit": 4, "cache": False}
    run = waterbed.evaluate(pocket_base, ["pocket/chat"], tmp_path / "run", samples=chosen, **how)
    figure = run.results()["pocket/chat"]["sampling"]["figures"]
    assert figure["best_of_3[reward-model:reward]"]["n"] == 4


def test_another_tasks_grader_scores_and_is_called_an_oracle_too(
    sums: Task, tmp_path: Path
) -> None:
    (tmp_path / "digits.py").write_text(
        "from waterbed import Sample, Score, task\n"
        "@task('toy/digits', domain='math', style='completion')\n"
        "class Digits:\n"
        "    def samples(self): return [Sample('a', 'a')]\n"
        "    def prompt(self, sample): return sample.input\n"
        "    def grade(self, sample, generation):\n"
        "        return Score(float(generation.text.isdigit()))\n"
    )
    resolve([str(tmp_path / "digits.py")])
    run = sampled(tmp_path / "run", sums, samples=Sampling(best_of=3, scorer="toy/digits"))
    figures = run.results()["toy/sums"]["sampling"]["figures"]
    assert figures["best_of_3[toy/digits, oracle]"]["mean"] == 1.0
