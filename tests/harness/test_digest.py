"""The digest follows what the model says, not how its files are cut."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from waterbed.harness.checkpoints import Checkpoint, open_checkpoint, write_checkpoint
from waterbed.harness.digest import digest_folder, tensor_hashes
from waterbed.harness.errors import CheckpointError, UsageError

TENSORS = {
    "a.weight": torch.arange(12, dtype=torch.float32).reshape(3, 4),
    "b.weight": torch.ones(5, dtype=torch.bfloat16),
    "c.bias": torch.zeros(0),
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATERBED_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    out = tmp_path / "model"
    out.mkdir()
    save_file(TENSORS, out / "model.safetensors")
    (out / "config.json").write_text(json.dumps({"hidden_size": 4, "transformers_version": "1"}))
    (out / "generation_config.json").write_text(json.dumps({"eos_token_id": 3}))
    (out / "tokenizer.json").write_text("{}")
    (out / "chat_template.jinja").write_text("{{ messages }}")
    return out


def resharded(folder: Path, out: Path) -> Path:
    shutil.copytree(folder, out)
    (out / "model.safetensors").unlink()
    names = sorted(TENSORS)
    placed = {}
    for number, name in enumerate(names):
        file = f"model-{number}-of-{len(names)}.safetensors"
        save_file({name: TENSORS[name]}, out / file, metadata={"format": "pt"})
        placed[name] = file
    index = {"metadata": {}, "weight_map": placed}
    (out / "model.safetensors.index.json").write_text(json.dumps(index))
    return out


def test_the_same_tensors_in_other_shards_are_the_same_model(folder: Path, tmp_path: Path) -> None:
    other = resharded(folder, tmp_path / "sharded")
    assert open_checkpoint(other).digest == open_checkpoint(folder).digest


def test_a_version_or_path_key_changes_nothing(folder: Path) -> None:
    before = digest_folder(folder)
    config = {"hidden_size": 4, "transformers_version": "9", "_name_or_path": "/elsewhere"}
    (folder / "config.json").write_text(json.dumps(config, indent=4))
    assert digest_folder(folder) == before


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", '{"hidden_size": 5}'),
        ("generation_config.json", '{"eos_token_id": 4}'),
        ("tokenizer.json", "{ }"),
        ("chat_template.jinja", "{{ messages}}"),
        ("adapter_config.json", "{}"),
    ],
)
def test_one_changed_byte_elsewhere_is_another_model(folder: Path, name: str, content: str) -> None:
    before = digest_folder(folder)
    (folder / name).write_text(content)
    assert digest_folder(folder) != before


def test_one_changed_weight_byte_is_another_model_though_hashes_are_cached(folder: Path) -> None:
    file = folder / "model.safetensors"
    before = digest_folder(folder)
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert digest_folder(folder) != before


def test_shape_and_dtype_count_though_the_bytes_agree(tmp_path: Path) -> None:
    flat, square = torch.zeros(4), torch.zeros(2, 2)
    for name, tensor in {"flat": flat, "square": square, "ints": flat.int()}.items():
        save_file({"w": tensor}, tmp_path / f"{name}.safetensors")
    hashes = {tensor_hashes(tmp_path / f"{n}.safetensors")["w"] for n in ("flat", "square", "ints")}
    assert len(hashes) == 3


def test_a_damaged_hash_cache_costs_only_time(folder: Path, tmp_path: Path) -> None:
    before = digest_folder(folder)
    for file in (tmp_path / "cache" / "digests").iterdir():
        file.write_text("{torn")
    assert digest_folder(folder) == before


def refused(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder)
    return str(caught.value)


def test_a_missing_folder_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no checkpoint folder"):
        open_checkpoint(tmp_path / "nowhere")


def test_a_hub_id_that_cannot_be_reached_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match="hub does not give it"):
        open_checkpoint("nobody/no-such-model-at-all@main")


def test_a_weightless_folder_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "no *.safetensors weights" in refused(folder)


def test_a_pickle_checkpoint_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "can run code when loaded" in refused(folder)


def test_a_truncated_file_is_refused_wherever_it_is_cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    for length in (0, 4, 9, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        assert "copy it again" in refused(folder)


def test_a_missing_shard_is_named_with_its_tensor(folder: Path, tmp_path: Path) -> None:
    sharded = resharded(folder, tmp_path / "sharded")
    (sharded / "model-1-of-3.safetensors").unlink()
    assert "lacks tensor 'b.weight'" in refused(sharded)


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b'{"w": 3}',
        b'{"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b'{"w": {"dtype": "F32", "shape": [-1], "data_offsets": [4, 0]}}',
        b'{"w": {"dtype": "nope", "shape": [1], "data_offsets": [0, 4]}}',
        b"[" * 100_000,
    ],
)
def test_a_hostile_header_is_a_sentence_not_a_crash(folder: Path, header: bytes) -> None:
    data = len(header).to_bytes(8, "little") + header + b"\0" * 4
    (folder / "model.safetensors").write_bytes(data)
    assert "model.safetensors" in refused(folder)


def test_a_checkpoint_is_written_aside_and_records_its_parent(
    pocket_base: Checkpoint, tmp_path: Path
) -> None:
    parent, out = pocket_base, tmp_path / "child"

    def save(aside: Path) -> None:
        assert not out.exists()
        shutil.copytree(parent.path, aside, dirs_exist_ok=True)

    child = write_checkpoint(out, save, parent=parent, stage="sft", settings={"steps": 3})
    assert (child.parent, child.stage, child.settings) == (parent.digest, "sft", {"steps": 3})
    assert child.digest == parent.digest  # the same weights, whatever the lineage
    assert not out.with_name("child.partial").exists()


def test_an_incomplete_save_leaves_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        write_checkpoint(tmp_path / "x", lambda aside: None, parent=None, stage="s", settings={})
    assert not (tmp_path / "x").exists()
