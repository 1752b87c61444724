"""Distillation: losses by hand, hints leave nothing behind, zeros stay zero, foreign teachers refused."""

from __future__ import annotations

import json
import math
import shutil

import pytest
import torch
from safetensors import safe_open

from waterbed.harness.backends.loading import load
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.errors import UsageError
from waterbed.harness.stage import StageContext, stages
from waterbed.trainers.chats import Example
from waterbed.trainers.distillation import (
    PROJECTIONS,
    Teaching,
    forward_kl,
    hint,
    partners,
    teaching_loss,
    with_projections,
)

CHATS = {"data": {"pocket/math@train": 60}, "batch_tokens": 512, "timing": {"repeats": 0}}
SMALL = {
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
}
#: Two answer tokens, one in each of two rows of different length.
BATCH = (
    Example((5, 6, 7), (False, False, True)),
    Example((9, 8, 7, 6, 5), (False, False, False, True, True)),
)


def model(checkpoint: Checkpoint):
    return load(checkpoint.path, "cpu", "float32", False).model


@pytest.fixture(scope="module")
def pruned(pocket_base, tmp_path_factory) -> Checkpoint:
    context = StageContext(tmp_path_factory.mktemp("pruned") / "out")
    return stages.get("prune").run(pocket_base, context, timing={"repeats": 0})


def softened(logits, temperature: float) -> list[float]:
    powers = [math.exp(float(value) / temperature) for value in logits]
    return [power / sum(powers) for power in powers]


def kl_by_hand(teacher, student, temperature: float) -> float:
    """Hinton et al. 2015, section 2, for one token: T^2 sum p log(p / q)."""
    p, q = softened(teacher, temperature), softened(student, temperature)
    return temperature**2 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def test_the_divergence_is_the_paper_s_on_a_few_tokens():
    teacher = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 3.0]])
    student = torch.tensor([[0.0, 1.0, 0.0], [1.0, -2.0, 0.3]])
    wanted = sum(kl_by_hand(t, s, 3.0) for t, s in zip(teacher, student, strict=True)) / 2
    assert forward_kl(teacher, student, 3.0).item() == pytest.approx(wanted, rel=1e-5)
    assert forward_kl(teacher, teacher, 3.0).item() == pytest.approx(0, abs=1e-5)
    backward = sum(kl_by_hand(s, t, 3.0) for t, s in zip(teacher, student, strict=True)) / 2
    assert abs(wanted - backward) > 1e-3


def test_a_hint_is_half_the_mean_squared_distance():
    found = hint(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 5.0]]))
    assert found.item() == (1 + 9) / 2 / 2


def test_the_loss_of_a_batch_is_that_of_its_answer_tokens_by_hand(pocket_base, pruned):
    teacher, student = model(pocket_base), model(pruned)
    teaching = Teaching(temperature=2.0, logits=0.75)
    kl, truth = [], []
    for example in BATCH:
        ids = torch.tensor([example.tokens])
        theirs, ours = (m(input_ids=ids).logits[0].double() for m in (teacher, student))
        for place, said in enumerate(example.said):
            if said:
                kl.append(kl_by_hand(theirs[place - 1], ours[place - 1], 2.0))
                truth.append(-math.log(softened(ours[place - 1], 1.0)[example.tokens[place]]))
    wanted = 0.75 * sum(kl) / len(kl) + 0.25 * sum(truth) / len(truth)
    assert teaching_loss(teacher, teaching)(student, BATCH).item() == pytest.approx(
        wanted, rel=1e-4
    )


def test_hints_compare_each_layer_through_its_projection(pocket_base, pruned):
    teacher, student = model(pocket_base), model(pruned)
    teaching = Teaching(logits=0.0, features=2.0)
    with with_projections(student, teacher, teaching):
        layers = getattr(student, PROJECTIONS)
        plain = teaching_loss(teacher, teaching)(student, BATCH[:1])
        truth = torch.nn.functional.cross_entropy(
            student(input_ids=torch.tensor([[5, 6]])).logits[0, -1:], torch.tensor([7])
        )
        states = [
            m(input_ids=torch.tensor([[5, 6]]), output_hidden_states=True).hidden_states
            for m in (teacher, student)
        ]
        hints = [hint(states[0][i][0, -1], layers[i - 1](states[1][i][0, -1])) for i in range(1, 5)]
    wanted = truth + 2 * torch.stack(hints).mean()
    assert plain.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_layers_of_a_shallow_student_look_at_the_same_share_of_depth():
    assert partners(2, 4) == [(1, 2), (2, 4)]
    assert partners(4, 4) == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert partners(6, 3)[0] == (1, 1)


def test_a_fresh_student_with_hints_is_saved_without_projections(pocket_base, tmp_path):
    context = StageContext(tmp_path / "out")
    settings = {**CHATS, "student": SMALL, "teaching": {"features": 0.5}}
    made = stages.get("distill").run(pocket_base, context, **settings)
    with safe_open(made.path / "model.safetensors", framework="pt") as file:
        assert not [name for name in file.keys() if PROJECTIONS in name]  # noqa: SIM118
    config = model(made).config
    assert {name: getattr(config, name) for name in SMALL} == SMALL
    assert made.parent == pocket_base.digest


def test_a_student_learns_from_another_checkpoint_and_names_it(pocket_base, pruned, tmp_path):
    context = StageContext(tmp_path / "out")
    settings = {**CHATS, "data": {"pocket/math@train": 400}, "teacher": str(pocket_base.path)}
    made = stages.get("distill").run(pruned, context, **settings)
    lineage = json.loads((made.path / "waterbed.json").read_text())
    assert (lineage["parent"], lineage["beside"]) == (pruned.digest, [pocket_base.digest])
    assert lineage["achieved"]["after"]["sparsity"] == 0.5
    losses = [json.loads(line)["loss"] for line in context.metrics_path.read_text().splitlines()]
    assert losses[-1] < losses[0] / 2


def test_a_teacher_with_another_tokenizer_is_refused(pocket_base, tmp_path):
    foreign = shutil.copytree(pocket_base.path, tmp_path / "foreign")
    tokenizer = json.loads((foreign / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (foreign / "tokenizer.json").write_text(json.dumps(tokenizer))
    context = StageContext(tmp_path / "out")
    with pytest.raises(UsageError, match="their tokenizers or output layers"):
        stages.get("distill").run(pocket_base, context, teacher=str(foreign), **CHATS)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "name a teacher, or the shape"),
        ({"teacher": "x", "teaching": {"temperature": 0.0}}, "temperature must be above 0"),
        ({"teacher": "x", "teaching": {"logits": 0.0}}, "teaches nothing"),
        ({"student": {**SMALL, "num_key_value_heads": 3}}, "multiple of num_key_value_heads"),
    ],
)
def test_lessons_that_teach_nothing_are_refused(pocket_base, tmp_path, settings, words):
    context = StageContext(tmp_path / "out")
    with pytest.raises(UsageError, match=words):
        stages.get("distill").run(pocket_base, context, **{**CHATS, **settings})
