"""Pre-training and fine-tuning: complete folders, lineage, same seed same weights, clear refusals."""

import json

import pytest

from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.errors import TrainingDiverged, UsageError
from waterbed.harness.stage import StageContext, stages

TINY = {
    "data": {"pocket/pretrain@train": 300},
    "hidden_size": 16,
    "layers": 1,
    "heads": 1,
    "intermediate_size": 32,
    "vocabulary": 320,
    "positions": 256,
}
MATH = {"data": {"pocket/math@train": 200, "pocket/chat-replay@train": 50}}


def pretrained(out, seed=0) -> Checkpoint:
    return stages.get("pretrain").run(None, StageContext(out, seed=seed), **TINY)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Checkpoint:
    return pretrained(tmp_path_factory.mktemp("tiny") / "base")


def tune(parent, out, seed=0, **settings) -> Checkpoint:
    return stages.get("sft").run(parent, StageContext(out, seed=seed), **{**MATH, **settings})


def test_the_same_seed_gives_the_same_digest_and_another_seed_another(tiny, tmp_path):
    assert pretrained(tmp_path / "again").digest == tiny.digest
    assert pretrained(tmp_path / "other", seed=1).digest != tiny.digest


def test_fine_tuning_is_reproducible_and_records_its_parent(tiny, tmp_path):
    first, again = tune(tiny, tmp_path / "a"), tune(tiny, tmp_path / "b")
    assert first.digest == again.digest != tiny.digest
    assert first.parent == tiny.digest
    assert (first.stage, first.settings["data"]) == ("sft", MATH["data"])


def test_the_folder_is_an_ordinary_hugging_face_model(tiny):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny.path)
    tokenizer = AutoTokenizer.from_pretrained(tiny.path)
    assert type(model).__name__ == "LlamaForCausalLM"
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id
    assert tokenizer.chat_template


def test_training_lowers_the_loss_and_writes_its_metrics(tiny):
    path = tiny.path.with_name("base.metrics.jsonl")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert {"step", "loss", "lr", "grad_norm"} <= set(lines[0])


def test_progress_reaches_its_end(tiny, tmp_path):
    told = []
    context = StageContext(tmp_path / "out", progress=lambda *step: told.append(step))
    stages.get("sft").run(tiny, context, **MATH)
    assert told[-1][1] == told[-1][2] == len(told)


def test_pretraining_a_checkpoint_is_refused(tiny, tmp_path):
    with pytest.raises(UsageError, match="starts from nothing"):
        stages.get("pretrain").run(tiny, StageContext(tmp_path / "out"), **TINY)


def test_fine_tuning_nothing_is_refused(tmp_path):
    with pytest.raises(UsageError, match="needs a checkpoint"):
        tune(None, tmp_path / "out")


def test_a_test_split_is_refused_before_training(tiny, tmp_path):
    with pytest.raises(UsageError, match="test split"):
        tune(tiny, tmp_path / "out", data={"pocket/math@test": 10})


@pytest.mark.parametrize(
    "setting", [{"epochs": 0}, {"muon_lr": -1.0}, {"momentum": 0.9}, {"data": {"a": "x"}}]
)
def test_wrong_settings_are_named(tiny, tmp_path, setting):
    with pytest.raises(UsageError, match=next(iter(setting))):
        tune(tiny, tmp_path / "out", **setting)


def test_a_diverging_run_stops_with_its_rates_and_leaves_no_checkpoint(tiny, tmp_path):
    with pytest.raises(TrainingDiverged, match=r"lower lr \(1e\+30\)") as raised:
        tune(tiny, tmp_path / "out", muon_lr=1e30, lr=1e30, epochs=3)
    assert raised.value.exit_code == 4
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_without_a_template_is_refused(tiny, tmp_path):
    import shutil

    bare = shutil.copytree(tiny.path, tmp_path / "bare")
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(UsageError, match="no chat template"):
        tune(Checkpoint(bare, "x"), tmp_path / "out")
