"""What a checkpoint folder must be before a model is made of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_llama import TEMPLATE, answers, ask, make_model, make_tokenizer, pose, save

from waterbed.harness.backends import loading
from waterbed.harness.backends.transformers import TransformersBackend
from waterbed.harness.errors import CheckpointError, UsageError
from waterbed.harness.records import Execute, Message, user


@pytest.fixture
def folder(plain: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(plain, tmp_path / "copy"))


def change_weights(folder: Path, change: Any) -> None:
    """Rewrite the weights after `change(tensors)`."""
    file = folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def opened(folder: Path, **options: Any) -> TransformersBackend:
    """A small backend."""
    return TransformersBackend(folder, threads=1, batch_size=4, **options)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_refused_by_name(folder: Path, value: float) -> None:
    name = "model.layers.1.mlp.up_proj.weight"

    def poison(tensors: dict[str, torch.Tensor]) -> None:
        tensors[name][3, 5] = value

    change_weights(folder, poison)
    with pytest.raises(CheckpointError, match=name):
        opened(folder)


def test_a_missing_tensor_is_refused_and_not_filled_with_random_numbers(folder: Path) -> None:
    change_weights(folder, lambda tensors: tensors.pop("model.layers.0.self_attn.q_proj.weight"))
    with pytest.raises(CheckpointError, match=r"lacks 1 weights.*layers\.0\.self_attn\.q_proj"):
        opened(folder)


@pytest.mark.parametrize("accelerate", [True, False])
def test_a_written_folder_is_checked_with_accelerate_and_without(
    folder: Path, monkeypatch: pytest.MonkeyPatch, accelerate: bool
) -> None:
    if not accelerate:
        monkeypatch.setattr(loading, "find_spec", lambda name: None)
    loading.check_whole(folder, packed=False)
    change_weights(folder, lambda tensors: tensors.pop("model.layers.0.mlp.up_proj.weight"))
    with pytest.raises(CheckpointError, match="lacks 1 weights"):
        loading.check_whole(folder, packed=False)


def test_tied_weights_are_not_missing(tmp_path: Path) -> None:
    folder = save(tmp_path / "tied", tie_word_embeddings=True)
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    assert answers(opened(folder), [ask(opened(folder), "a", max_tokens=2)])[0].text


def test_tensors_the_model_has_no_place_for_are_counted(folder: Path) -> None:
    change_weights(folder, lambda tensors: tensors.update(extra=torch.ones(2)))
    assert opened(folder).describe()["unexpected_weights"] == 1


def test_a_weight_of_another_shape_is_refused(folder: Path) -> None:
    change_weights(folder, lambda t: t.update({"lm_head.weight": torch.ones(7, 64)}))
    with pytest.raises(CheckpointError, match="does not load"):
        opened(folder)


def test_a_truncated_file_is_refused(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="truncated"):
        opened(folder)


def test_pickled_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="pickled"):
        opened(folder)


def test_code_in_the_folder_is_not_run_unless_asked(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "foreign"
    config["auto_map"] = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text(f"open({str(folder / 'ran')!r}, 'w').write('x')")
    with pytest.raises(CheckpointError):
        opened(folder)
    assert not (folder / "ran").exists()


def test_a_folder_without_tokenizer_is_refused(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(CheckpointError, match="no tokenizer"):
        opened(folder)


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(folder: Path) -> None:
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(["<one>", "<two>"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(CheckpointError, match=r"290 tokens.*288"):
        opened(folder)


@pytest.mark.parametrize("options", [{"device": "abacus"}, {"dtype": "float3"}, {"batch_size": 0}])
def test_options_that_cannot_be_met_are_usage_errors(plain: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        TransformersBackend(plain, **options)


def test_shards_change_neither_identity_nor_answers(plain: Path, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    model = make_model(288)
    model.save_pretrained(parts, max_shard_size="100KB")
    make_tokenizer().save_pretrained(parts)
    assert len(list(parts.glob("*.safetensors"))) > 1
    one, many = opened(plain), opened(parts)
    assert one.identity == many.identity
    tickets = [ask(one, "the cat", max_tokens=8)]
    assert answers(one, tickets)[0].text == answers(many, tickets)[0].text


def test_the_identity_holds_what_shapes_an_answer(plain: Path, tmp_path: Path) -> None:
    identities = {
        opened(plain).identity,
        opened(plain, dtype="bfloat16").identity,
        opened(save(tmp_path / "other", seed=1)).identity,
    }
    assert len(identities) == 3
    assert TransformersBackend(plain, threads=1, batch_size=5).identity in identities


def test_every_token_that_config_or_tokenizer_declare_ends_a_text(tmp_path: Path) -> None:
    backend = opened(save(tmp_path / "ends", eos_token_id=2))
    assert backend.loaded.ends == {2, make_tokenizer().eos_token_id}


def test_what_describe_says_is_json_and_can_be_passed_back(plain: Path) -> None:
    first = TransformersBackend(plain)
    said = json.loads(json.dumps(first.describe()))
    again = TransformersBackend(plain, batch_size=said["batch_size"], threads=said["threads"])
    assert again.describe() == said
    assert (said["dtype"], said["device"]) == ("float32", "cpu")
    assert said["context"] == 256


def test_half_precision_answers(plain: Path) -> None:
    backend = opened(plain, dtype="bfloat16")
    assert backend.describe()["dtype"] == "bfloat16"
    assert backend.describe()["padding"]
    found = answers(backend, [ask(backend, p, max_tokens=4) for p in ("a", "the cat")])
    assert [a.completion_tokens for a in found] == [4, 4]


def test_closing_gives_torch_its_threads_back(plain: Path) -> None:
    before = torch.get_num_threads()
    backend = TransformersBackend(plain, threads=before + 1, batch_size=2)
    list(backend.answer([ask(backend, "a", max_tokens=1)]))
    assert torch.get_num_threads() == before + 1
    said = backend.describe()
    backend.close()
    backend.close()
    assert torch.get_num_threads() == before
    assert backend.describe() == said


def test_a_template_renders_and_asks_for_an_answer(chatty: Path) -> None:
    backend = opened(chatty)
    ticket = ask(backend, (Message("user", "hi"), Message("assistant", "yo"), Message("user", "?")))
    assert ticket.rendered == "<|user|>hi<|end|><|assistant|>yo<|end|><|user|>?<|end|><|assistant|>"


@pytest.mark.parametrize("template", ["{{ raise_exception('no') }}", "{{ 1 / 0 }}", "{% if %}"])
def test_a_template_that_refuses_is_a_usage_error(tmp_path: Path, template: str) -> None:
    backend = opened(save(tmp_path / "refuses", template=template))
    with pytest.raises(UsageError, match="chat template"):
        pose(backend, user("hi"), "a")


def test_a_template_that_prints_the_date_prints_the_same_one_every_day(tmp_path: Path) -> None:
    folder = save(tmp_path / "dated", template="{{ strftime_now('%d %b %Y') }}" + TEMPLATE)
    assert ask(opened(folder), user("hi")).rendered.startswith("26 Jul 2024<|user|>")


def test_a_program_cannot_be_rendered(backend: TransformersBackend) -> None:
    program: Any = None
    with pytest.raises(UsageError, match="Execute"):
        backend.render(Execute(program))


def test_a_tokenizer_left_in_its_training_settings_does_not_end_the_prompt(tmp_path: Path) -> None:
    from tokenizers import processors

    folder = save(tmp_path / "trained")
    tokenizer = make_tokenizer()
    plain_ids = tokenizer("the cat")["input_ids"]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <|end|>", special_tokens=[("<|end|>", tokenizer.eos_token_id)]
    )
    tokenizer.save_pretrained(folder)
    assert opened(folder).prompts.encode(["the cat"], chat=False) == [plain_ids]


def test_importing_the_backend_loads_no_torch() -> None:
    code = (
        "import sys, waterbed.harness.backends.transformers\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_loading_leaves_scikit_learn_and_the_garbage_collector_to_those_who_call_them(
    plain: Path,
) -> None:
    code = (
        "import sys\n"
        "from waterbed.harness.backends.transformers import TransformersBackend\n"
        f"TransformersBackend({str(plain)!r}, threads=1, batch_size=2)\n"
        "assert 'sklearn' not in sys.modules\n"
        "import gc\n"
        "assert gc.isenabled() and gc.get_freeze_count() > 0\n"
        "from transformers.generation import candidate_generator as late\n"
        "from transformers.utils import is_sklearn_available\n"
        "assert late.is_sklearn_available is is_sklearn_available\n"
        "assert is_sklearn_available()\n"
        "assert len(late.roc_curve([0, 1, 1], [0.2, 0.3, 0.9])) == 3\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
