"""Who answers is named on the command line: a served candidate, a judge, a simulated user."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faulty_server import serving

from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.run import Run

Command = Callable[..., Any]

SUITE = '''
from waterbed import Generate, Sample, Score, task

@task("roles/sums", domain="math", style="completion", roles=("user", "judge"))
class Sums:
    """The user names a number, the candidate adds one, the judge adds two."""
    def samples(self):
        return [Sample(str(n), n) for n in range(60)]
    def converse(self, sample):
        number = yield Generate(f"{sample.input}+0=", role="user")
        if not number.text.isdigit():
            return Score(0.0, "wrong", extracted=number.text)
        answer = yield Generate(f"{number.text}+1=")
        vote = yield Generate(f"{number.text}+2=", role="judge")
        return Score(float(int(vote.text) == int(answer.text) + 1), extracted=answer.text)
'''


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    file = tmp_path / "sums.py"
    file.write_text(SUITE)
    return file


def served(suite: Path, out: Path, url: str, *more: object) -> list[object]:
    """`eval` with one server in every role."""
    roles = ["--user", f"{url}#adder", "--judge", url]
    return [
        *("eval", "adder", "--backend", "openai", "--base-url", url, "--suites", suite),
        *("--out", out, *roles, *more),
    ]


def test_a_served_model_is_asked_with_a_served_judge_and_user(
    waterbed: Command, suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with serving() as server:
        done = waterbed(*served(suite, tmp_path / "a", server.url, "--json"))
        assert done.code == 0, done.err
        asked = Counter(server.asked)
        again = waterbed(*served(suite, tmp_path / "b", server.url))
        assert again.code == 0, again.err
    assert server.asked == {prompt: 2 * n for prompt, n in asked.items()}, (
        "answers under a mere name were shared between Runs"
    )
    run = Run.open(tmp_path / "a")
    assert json.loads(done.out)["results"]["roles/sums"]["metrics"]["correct"]["mean"] == 1.0
    assert run.label == "adder"
    assert run.manifest["checkpoint"] is None
    assert {role: who["model"] for role, who in run.manifest["roles"].items()} == {
        "user": "adder",
        "judge": "adder",
    }
    assert run.manifest["contamination"] == {"status": "unknown"}
    assert "sk-secret" not in (tmp_path / "a" / "run.json").read_text()


def test_two_runs_of_served_models_can_be_gated_and_resumed(
    waterbed: Command, suite: Path, tmp_path: Path
) -> None:
    with serving() as server:
        for name in "ab":
            assert waterbed(*served(suite, tmp_path / name, server.url)).code == 0
        asked = sum(server.asked.values())
        (tmp_path / "b" / "scores.parquet").unlink()
        assert waterbed(*served(suite, tmp_path / "b", server.url)).code == 0
        assert sum(server.asked.values()) == asked, "a journaled answer was asked for again"
    done = waterbed("gate", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "gate")
    verdict = json.loads((tmp_path / "gate" / "verdict.json").read_text())
    (math,) = verdict["domain_list"]
    assert (math["id"], math["comparison"]["n"], math["comparison"]["delta"]) == ("math", 60, 0.0)
    assert done.code == verdict["exit_code"]


def test_a_checkpoint_folder_plays_a_user_who_is_somebody_else_to_the_gate(
    waterbed: Command, suite: Path, tmp_path: Path, pocket_base: Checkpoint
) -> None:
    out = tmp_path / "run"
    with serving() as server:
        command = served(suite, out, server.url, "--limit", 10)
        command[command.index("--user") + 1] = pocket_base.path
        assert waterbed(*command).code == 0
        run = Run.open(out)
        assert run.manifest["roles"]["user"]["name"] == "transformers"
        before = (out / "scores.parquet").read_bytes()
        (out / "scores.parquet").unlink()
        done = waterbed(*command)
        assert done.code == 0, done.err
        assert (out / "scores.parquet").read_bytes() == before
        other = tmp_path / "other"
        assert waterbed(*served(suite, other, server.url, "--limit", 10)).code == 0
    refused = waterbed("gate", out, other, "--out", tmp_path / "gate")
    assert refused.code == 2
    assert "roles.user.name: transformers -> openai" in refused.err


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--user", "nowhere/at/all"], "--user nowhere/at/all: There is no checkpoint folder"),
        (["--judge", "http://127.0.0.1:9/v1#x"], "127.0.0.1:9"),
        (["--judge", "http://#x"], "is no address"),
        (["--base-url", ""], "pass --base-url"),
        (["--device", "cpu"], "There is no option of the backend 'openai' 'device'"),
        (["--backend", "transformers"], "--base-url http://127.0.0.1"),
    ],
)
def test_mistakes_in_who_answers_cost_one_sentence(
    waterbed: Command,
    suite: Path,
    tmp_path: Path,
    more: list[str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("waterbed.harness.backends.endpoint.PAUSE_S", 0.01)
    with serving() as server:
        done = waterbed(*served(suite, tmp_path / "a", server.url, *more))
        unknown = waterbed(
            *served(suite, tmp_path / "b", server.url, "--user", server.url + "#gpt")
        )
    assert done.code in (2, 4), done.err
    assert told in done.err
    assert "Traceback" not in done.err
    assert "does not serve 'gpt'; name one of: adder" in unknown.err
