"""`waterbed init` writes files that work as they are, and touches nothing that is there."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from waterbed.harness.cli.init import CI_FILES, POLICY_FILE
from waterbed.harness.cli.init_files import POLICY
from waterbed.harness.config import parse_config
from waterbed.harness.policy import Policy

Command = Callable[..., Any]
ALL = [POLICY_FILE, *CI_FILES]
GITHUB, GITLAB = CI_FILES


def gate_line(name: str) -> list[str]:
    """The arguments of the `waterbed gate` that a CI file runs, as a shell splits them."""
    read = yaml.safe_load(CI_FILES[name])
    if name == GITHUB:
        env = read["env"]
        lines = [step.get("run", "") for step in read["jobs"]["gate"]["steps"]]
    else:
        env = read["waterbed-gate"]["variables"]
        lines = read["waterbed-gate"]["script"]
    (line,) = (line for line in lines if line.startswith("waterbed gate"))
    return shlex.split(re.sub(r"\$(\w+)", lambda found: str(env[found[1]]), line))[1:]


def test_a_policy_and_ci_files_are_written(waterbed: Command, tmp_path: Path) -> None:
    done = waterbed("init", tmp_path / "new")
    assert done.code == 0
    assert all((tmp_path / "new" / name).is_file() for name in ALL)
    assert done.out.count("wrote ") == 3


def test_the_written_policy_is_the_default_one(waterbed: Command, tmp_path: Path) -> None:
    waterbed("init", tmp_path)
    assert Policy.load(tmp_path / POLICY_FILE).resolved() == Policy().resolved()


def test_every_commented_example_in_the_policy_validates() -> None:
    example = re.sub(r"(?m)^# (?=[a-z_]+: [\[{]|waivers:|inconclusive: |  )", "", POLICY)
    # The example's day passes; what is tested is that the rest of it validates.
    policy = parse_config(example.replace("2026-12-31", "9999-12-31"), Policy)
    assert policy.suites and policy.margins and policy.require and policy.critical
    assert policy.discordance and policy.waivers and policy.inconclusive == "warn"


def test_what_is_there_is_left_alone_and_said(waterbed: Command, tmp_path: Path) -> None:
    (tmp_path / POLICY_FILE).write_text("name: strict\n")
    (tmp_path / ".gitlab").mkdir()
    (tmp_path / GITLAB).symlink_to(tmp_path / "nowhere")
    done = waterbed("init", tmp_path, "--json")
    said = json.loads(done.out)
    assert done.code == 0
    assert said["left_alone"] == [POLICY_FILE, GITLAB] and said["written"] == [GITHUB]
    assert (tmp_path / POLICY_FILE).read_text() == "name: strict\n"
    assert not (tmp_path / "nowhere").exists()
    assert f"left alone {tmp_path / POLICY_FILE}: it exists" in waterbed("init", tmp_path).out


@pytest.mark.parametrize("name", CI_FILES)
def test_the_gate_of_a_ci_file_runs_where_it_was_written(
    name: str, waterbed: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    responses = Path("r.jsonl")
    rows = [{"id": key, "response": "yes"} for key in ("France", "Japan")]
    responses.write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("capitals.py").write_text(
        "from waterbed import Sample, Score, task\n\n"
        "@task('init/capitals', domain='knowledge', style='completion')\n"
        "class Capitals:\n    '''Capitals.'''\n"
        "    def samples(self):\n        return [Sample(k, k) for k in ('France', 'Japan')]\n"
        "    def prompt(self, sample):\n        return sample.input\n"
        "    def grade(self, sample, generation):\n        return Score(1.0)\n"
    )
    for run in ("runs/base", "runs/candidate"):
        assert waterbed("score", "capitals.py", "--responses", responses, "--out", run).code == 0
    waterbed("init")
    done = waterbed(*gate_line(name))
    assert done.code == 3  # two items show nothing
    assert Path("waterbed-gate/junit.xml").is_file()


def test_inconclusive_is_amber_at_gitlab_and_nothing_else_is() -> None:
    job = yaml.safe_load(CI_FILES[GITLAB])["waterbed-gate"]
    assert job["allow_failure"] == {"exit_codes": [3]}
    assert job["artifacts"]["when"] == "always"


def test_the_github_workflow_asks_for_no_rights_but_reading() -> None:
    assert yaml.safe_load(CI_FILES[GITHUB])["permissions"] == {"contents": "read"}


def test_a_folder_that_cannot_be_one_is_a_usage_error(waterbed: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = waterbed("init", tmp_path / "file")
    assert done.code == 2
    assert "is no folder" in done.err


def test_a_nel_policy_is_converted_and_what_was_lost_is_printed(
    waterbed: Command, tmp_path: Path
) -> None:
    nel = tmp_path / "nel.yaml"
    nel.write_text("benchmarks: {gsm8k: {tier: critical, max_drop: 0.02, metric: pass@1}}\n")
    done = waterbed("init", tmp_path / "to", "--from-nel", nel)
    assert done.code == 0
    assert "not carried over: metric pass@1 (gsm8k)" in done.out
    policy = Policy.load(tmp_path / "to" / POLICY_FILE)
    assert (policy.margins, policy.critical) == ({"math": 0.02}, ("math",))


def test_a_conversion_never_replaces_a_policy(waterbed: Command, tmp_path: Path) -> None:
    nel, policy = tmp_path / "nel.yaml", tmp_path / POLICY_FILE
    nel.write_text("version: 1\n")
    policy.write_text("name: strict\n")
    done = waterbed("init", tmp_path, "--from-nel", nel)
    assert done.code == 2
    assert "is not overwritten" in done.err
    assert policy.read_text() == "name: strict\n"
    assert not (tmp_path / GITHUB).exists()


def test_a_nel_policy_that_is_missing_or_wrong_writes_nothing(
    waterbed: Command, tmp_path: Path
) -> None:
    bad = tmp_path / "nel.yaml"
    bad.write_text("version: 1\nbenchmark: {}\n")
    for source, wanted in ((tmp_path / "none.yaml", "no file"), (bad, "nel.yaml:2: unknown key")):
        done = waterbed("init", tmp_path / "to", "--from-nel", source)
        assert done.code == 2
        assert wanted in done.err
    assert not (tmp_path / "to").exists()
