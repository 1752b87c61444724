"""Published model answers, scored and gated from the command line, as a user without a GPU would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DATA = Path(os.environ.get("WATERBED_DATA", "/nonexistent"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="WATERBED_DATA is not set")

CONVERTER = Path(__file__).parent / "suites" / "gsm8k_solutions.py"
RIGHT = {
    "6b_finetuning": 286,
    "6b_verification": 515,
    "175b_finetuning": 458,
    "175b_verification": 742,
}


def waterbed(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "waterbed", *(str(a) for a in arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def responses(model: str, folder: Path) -> Path:
    solutions = DATA / "gsm8k" / "example_model_solutions.jsonl"
    made = subprocess.run(
        [sys.executable, str(CONVERTER), str(solutions), model],
        capture_output=True,
        text=True,
        check=True,
    )
    file = folder / f"{model}.jsonl"
    file.write_text(made.stdout, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The four recorded models as Runs."""
    folder = tmp_path_factory.mktemp("gsm8k")
    made = {}
    for model in RIGHT:
        made[model] = folder / model
        done = waterbed(
            "score", "gsm8k", "--responses", responses(model, folder), "--out", made[model]
        )
        assert done.returncode == 0, done.stderr
    return made


def test_the_four_recorded_gsm8k_models_score_what_their_authors_counted(
    runs: dict[str, Path],
) -> None:
    for model, right in RIGHT.items():
        results = json.loads((runs[model] / "results.json").read_text())["gsm8k"]
        headline = results["metrics"]["strict"]
        assert round(headline["mean"] * headline["n"]) == right
        assert headline["n"] == 1319


@pytest.mark.parametrize(
    ("baseline", "candidate", "code"),
    [
        ("175b_verification", "6b_finetuning", 1),
        ("6b_finetuning", "175b_verification", 0),
        ("175b_verification", "175b_verification", 0),
    ],
)
def test_the_gate_is_red_where_the_recorded_model_is_worse_and_only_there(
    runs: dict[str, Path], tmp_path: Path, baseline: str, candidate: str, code: int
) -> None:
    done = waterbed("gate", runs[baseline], runs[candidate], "--out", tmp_path / "gate")
    assert done.returncode == code, done.stdout
    verdict = json.loads((tmp_path / "gate" / "verdict.json").read_text())
    [math] = verdict["domain_list"]
    page = (tmp_path / "gate" / "gate.html").read_text(encoding="utf-8")
    assert verdict["sentence"].split(" (")[0] in page
    if code == 1:
        assert (math["badge"], math["comparison"]["n"]) == ("fail", 1319)
        assert math["comparison"]["lost"] - math["comparison"]["gained"] == 742 - 286
        assert "#### " in page, "the flips show what the models really said"


def test_under_strict_a_hundred_items_leave_near_models_undecided(tmp_path: Path) -> None:
    sides = []
    for model in ("6b_verification", "175b_finetuning"):
        out = tmp_path / model
        file = responses(model, tmp_path)
        assert (
            waterbed("score", "gsm8k", "--responses", file, "--limit", 100, "--out", out).returncode
            == 0
        )
        sides.append(out)
    done = waterbed("gate", *reversed(sides), "--policy", "strict", "--out", tmp_path / "gate")
    assert done.returncode == 3, done.stdout


def test_a_leaderboard_tells_the_four_recorded_models_apart(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    done = waterbed("leaderboard", *runs.values(), "--out", tmp_path / "board", "--json")
    assert done.returncode == 0, done.stderr
    places = json.loads(done.stdout)["places"]
    by_score = sorted(RIGHT, key=lambda model: -RIGHT[model])
    assert [(p["name"], p["best"], p["worst"]) for p in places] == [
        (model, rank, rank) for rank, model in enumerate(by_score, 1)
    ]


def test_the_recorded_gpt4_answers_to_ifeval_reproduce_the_known_counts(tmp_path: Path) -> None:
    """Joined by line order: one recorded prompt differs from the item's (key 2785).

    Loose is 431 and 714, not the 430 and 713 of a reference run with seed 0: for two instructions the
    reference draws a random letter anew for each check, so that it may hold strictly and not loosely.
    """
    items = (DATA / "ifeval" / "input_data.jsonl").read_text(encoding="utf-8").splitlines()
    said = DATA / "ifeval" / "input_response_data_gpt4_20231107_145030.jsonl"
    rows = [
        {"id": json.loads(item)["key"], "response": json.loads(answer)["response"]}
        for item, answer in zip(items, said.read_text(encoding="utf-8").splitlines(), strict=True)
    ]
    file = tmp_path / "gpt4.jsonl"
    file.write_text("".join(json.dumps(r) + "\n" for r in rows))
    done = waterbed("score", "ifeval", "--responses", file, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "run" / "results.json").read_text())["ifeval"]
    assert round(results["metrics"]["prompt_strict"]["mean"] * 541) == 417
    assert round(results["metrics"]["prompt_loose"]["mean"] * 541) == 431
    assert round(results["extra"]["inst_strict"] * 834) == 698
    assert round(results["extra"]["inst_loose"] * 834) == 714
