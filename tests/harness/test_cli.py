"""Each command does what it says, and each mistake costs one sentence and the right exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.cli.app import app
from waterbed.harness.run import Run

Command = Callable[..., Any]

SUITE = '''
from waterbed import Sample, Score, task

@task("cli/sums", domain="math", style="completion")
class Sums:
    """Sums."""
    def samples(self):
        return [Sample(str(n), f"{n}+1=", str(n + 1)) for n in range(60)]
    def prompt(self, sample):
        return sample.input
    def grade(self, sample, generation):
        return Score(float(generation.text == sample.target), extracted=generation.text)
'''


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    file = tmp_path / "sums.py"
    file.write_text(SUITE)
    return file


def answers(path: Path, right: int, n: int = 60) -> Path:
    rows = [{"id": i, "response": str(i + 1 if i < right else -1)} for i in range(n)]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def one_sentence(text: str) -> str:
    """The error as people see it: one line, naming the program, without a traceback."""
    lines = [line for line in text.strip().splitlines() if line.startswith("waterbed: ")]
    assert len(lines) == 1, text
    assert "Traceback" not in text
    return lines[0]


def test_help_and_version_need_nothing(waterbed: Command) -> None:
    assert "gate" in waterbed("--help").out
    assert waterbed("--version").out.startswith("waterbed ")


def test_commands_that_are_not_built_do_not_appear() -> None:
    built = {command.name for command in app.registered_commands}
    assert built == {
        "constitution",
        "contamination",
        "demo",
        "doctor",
        "eval",
        "gate",
        "init",
        "leaderboard",
        "list",
        "loop",
        "noise",
        "plan",
        "ratings",
        "report",
        "score",
        "watch",
    }


def test_an_unknown_suite_is_a_usage_error_with_the_nearest_name(
    waterbed: Command, tmp_path: Path
) -> None:
    done = waterbed("score", "gms8k", "--responses", tmp_path / "x.jsonl")
    assert done.code == 2
    assert "did you mean 'gsm8k'" in one_sentence(done.err)


def test_scoring_recorded_answers_writes_a_run_and_prints_it(
    waterbed: Command, suite: Path, tmp_path: Path
) -> None:
    responses = answers(tmp_path / "a.jsonl", right=45)
    done = waterbed("score", suite, "--responses", responses, "--out", tmp_path / "run", "--json")
    assert done.code == 0
    assert json.loads(done.out)["results"]["cli/sums"]["metrics"]["correct"]["mean"] == 0.75


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ('{"id": 1, "response": "a"}\n{"id": 2\n', "a.jsonl:2"),
        ('{"id": 1, "response": "a"}\n{"id": 1, "response": "b"}\n', "a.jsonl:2"),
        ('{"id": 1, "response": 7}\n', "a.jsonl:1"),
        ('{"response": "a"}\n', "a.jsonl:1"),
        ('{"id": 99, "response": "a"}\n', "99"),
        ("", "a.jsonl"),
    ],
)
def test_malformed_responses_are_named_with_their_line(
    waterbed: Command, suite: Path, tmp_path: Path, content: str, wanted: str
) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    done = waterbed("score", suite, "--responses", tmp_path / "a.jsonl", "--out", tmp_path / "run")
    assert done.code == 4
    assert wanted in one_sentence(done.err)


def test_missing_responses_make_exit_4_and_stay_out_of_the_mean(
    waterbed: Command, suite: Path, tmp_path: Path
) -> None:
    responses = answers(tmp_path / "a.jsonl", right=50, n=50)
    done = waterbed("score", suite, "--responses", responses, "--out", tmp_path / "run")
    assert done.code == 4
    assert "10 of 60 samples" in one_sentence(done.err)
    assert "missing_response" in done.err
    assert Run.open(tmp_path / "run").results()["cli/sums"]["metrics"]["correct"]["mean"] == 1.0


def test_a_gate_between_recorded_answers_is_red_one_way_only(
    waterbed: Command, suite: Path, tmp_path: Path
) -> None:
    good, bad = answers(tmp_path / "good.jsonl", 58), answers(tmp_path / "bad.jsonl", 30)
    for name, file in (("good", good), ("bad", bad)):
        assert waterbed("score", suite, "--responses", file, "--out", tmp_path / name).code == 0
    policy = tmp_path / "policy.yaml"
    policy.write_text("allow_unverified: true\n")
    sides = {"red": ("good", "bad"), "back": ("bad", "good"), "self": ("good", "good")}
    codes = {}
    for name, (a, b) in sides.items():
        out = tmp_path / f"gate-{name}"
        done = waterbed("gate", tmp_path / a, tmp_path / b, "--policy", policy, "--out", out)
        codes[name] = done.code
        said = json.loads((out / "verdict.json").read_text())
        assert said["exit_code"] == done.code
        assert said["sentence"][:40].replace("-", "−") in done.out.replace("-", "−")
        assert {p.name for p in out.iterdir()} >= {"gate.html", "junit.xml", "summary.md"}
    assert codes["red"] == 1
    assert 1 not in (codes["back"], codes["self"])


def test_a_gate_side_that_is_nothing_says_what_to_pass(waterbed: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = waterbed("gate", tmp_path / "empty", tmp_path / "empty")
    assert done.code == 2
    assert "neither a Run" in one_sentence(done.err)


def test_a_policy_with_a_typo_is_named_with_file_line_and_the_nearest_key(
    waterbed: Command, tmp_path: Path
) -> None:
    policy = tmp_path / "gate.yaml"
    policy.write_text("name: harm\nmargin:\n  math: 3\n")
    done = waterbed("gate", tmp_path, tmp_path, "--policy", policy)
    assert done.code == 2
    assert "gate.yaml:2" in done.err
    assert "margins" in done.err


def damaged(base: Path, out: Path, **changes: bytes | None) -> Path:
    """A copy of a checkpoint with files replaced or (None) left out."""
    out.mkdir()
    for file in base.iterdir():
        name = file.name
        if changes.get(name, b"") is not None:
            (out / name).write_bytes(changes.get(name) or file.read_bytes())
    return out


def refused(waterbed: Command, checkpoint: Path, suite: Path, out: Path) -> tuple[int, str]:
    done = waterbed("eval", checkpoint, "--suites", suite, "--out", out)
    return done.code, one_sentence(done.err)


def test_a_truncated_weight_file_is_refused(
    waterbed: Command, pocket_base: Checkpoint, suite: Path, tmp_path: Path
) -> None:
    whole = (pocket_base.path / "model.safetensors").read_bytes()
    folder = damaged(pocket_base.path, tmp_path / "m", **{"model.safetensors": whole[:-100]})
    code, sentence = refused(waterbed, folder, suite, tmp_path / "run")
    assert code == 4
    assert "truncated" in sentence


def test_a_weightless_folder_is_refused(
    waterbed: Command, pocket_base: Checkpoint, suite: Path, tmp_path: Path
) -> None:
    folder = damaged(pocket_base.path, tmp_path / "m", **{"model.safetensors": None})
    assert refused(waterbed, folder, suite, tmp_path / "run")[0] == 4


def test_nan_weights_are_refused_by_tensor_name(
    waterbed: Command, pocket_base: Checkpoint, suite: Path, tmp_path: Path
) -> None:
    folder = damaged(pocket_base.path, tmp_path / "m")
    tensors = load_file(folder / "model.safetensors")
    name = sorted(tensors)[0]
    tensors[name].view(-1)[3] = float("nan")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    code, sentence = refused(waterbed, folder, suite, tmp_path / "run")
    assert code == 4
    assert name in sentence


def test_a_chat_task_without_a_chat_template_says_so(
    waterbed: Command, pocket_base: Checkpoint, tmp_path: Path
) -> None:
    folder = damaged(pocket_base.path, tmp_path / "m", **{"chat_template.jinja": None})
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    done = waterbed("eval", folder, "--suites", "pocket/math", "--out", tmp_path / "run")
    assert done.code == 2
    assert "chat template" in one_sentence(done.err)


def test_an_empty_selection_is_a_usage_error(
    waterbed: Command, pocket_base: Checkpoint, tmp_path: Path
) -> None:
    done = waterbed("eval", pocket_base.path, "--out", tmp_path / "run")
    assert done.code == 2
    assert "--suites" in one_sentence(done.err)
    done = waterbed("eval", pocket_base.path, "-s", "pocket", "--limit", 0, "--out", tmp_path / "r")
    assert done.code == 2


def test_a_prompt_longer_than_the_context_is_unscored_never_cut(
    waterbed: Command, pocket_base: Checkpoint, suite: Path, tmp_path: Path
) -> None:
    suite.write_text(SUITE.replace('f"{n}+1="', 'f"{n}+1=" * (9_000 if n == 3 else 1)'))
    done = waterbed("eval", pocket_base.path, "--suites", suite, "--out", tmp_path / "run")
    assert done.code == 4  # one of 60 is more than 1%
    correct = Run.open(tmp_path / "run").results()["cli/sums"]["metrics"]["correct"]
    assert (correct["n"], correct["unscored"]) == (59, {"prompt_too_long": 1})


def test_list_says_of_every_stage_what_it_does(waterbed: Command) -> None:
    rows = json.loads(waterbed("list", "stages", "--json").out)
    assert {"sft", "gptq", "ppo"} <= {row["stage"] for row in rows}
    assert all(len(row["what"]) > 10 for row in rows)


def test_list_shows_suites_with_their_verification_and_runs_with_their_points(
    waterbed: Command, suite: Path, tmp_path: Path
) -> None:
    rows = json.loads(waterbed("list", "suites", "--json").out)
    by_name = {r["suite"]: r for r in rows}
    assert by_name["ifeval"]["domain"] == "instruction"
    assert by_name["gsm8k"]["verified"].startswith("against")
    responses = answers(tmp_path / "a.jsonl", right=45)
    waterbed("score", suite, "--responses", responses, "--out", tmp_path / "runs" / "a")
    listed = json.loads(waterbed("list", "runs", tmp_path / "runs", "--json").out)
    assert [(r["label"], r["points"]) for r in listed] == [("a", "cli/sums 75.0")]
    assert waterbed("list", "nonsense").code == 2


def test_report_writes_the_page_of_a_run(waterbed: Command, suite: Path, tmp_path: Path) -> None:
    responses = answers(tmp_path / "a.jsonl", right=45)
    waterbed("score", suite, "--responses", responses, "--out", tmp_path / "run")
    done = waterbed("report", tmp_path / "run")
    assert done.code == 0
    assert "75.0" in Path(done.out.strip()).read_text(encoding="utf-8")


def test_a_users_own_programming_problems_are_scored_in_the_sandbox(
    waterbed: Command, tmp_path: Path
) -> None:
    problem = {
        "task_id": "mine/0",
        "prompt": "def twice(x):\n",
        "entry_point": "twice",
        "test": "def check(candidate):\n    assert candidate(4) == 8\n",
    }
    (tmp_path / "problems.jsonl").write_text(json.dumps(problem) + "\n")
    rows = [
        {"id": "mine/0", "repeat": 0, "response": "    return x * 2\n"},
        {"id": "mine/0", "repeat": 1, "response": "    import os; os._exit(0)\n"},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    out = tmp_path / "run"
    own = ("--items", tmp_path / "problems.jsonl", "--out", out)
    done = waterbed("score", "humaneval", "--responses", tmp_path / "a.jsonl", *own)
    if "sandbox" in done.err and done.code == 4:
        pytest.skip(done.err)
    assert done.code == 0, done.err
    run = Run.open(out)
    assert run.results()["humaneval"]["metrics"]["pass@1"]["mean"] == 0.5
    assert run.manifest["roles"]["sandbox"]["level"] in ("L3", "L2")


def test_doctor_tries_every_suite_and_says_what_is_missing(waterbed: Command) -> None:
    rows = {r["check"]: r["result"] for r in json.loads(waterbed("doctor", "--json").out)}
    assert "items" in rows["suite pocket/math"]
    assert rows["devices"].startswith("cpu")
