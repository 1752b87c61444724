"""The training loop: schedule, loss on answers only, reproducibility, divergence."""

import copy
import math

import pytest
import torch

from waterbed.harness.datasets import load
from waterbed.harness.errors import TrainingDiverged
from waterbed.harness.stage import StageContext
from waterbed.trainers.chats import Example
from waterbed.trainers.loop import FLOOR, Steps, answer_loss, fit, reproducible, schedule
from waterbed.trainers.pretrain import PretrainConfig, new_model
from waterbed.trainers.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def model():
    tokenizer = train_tokenizer(load("pocket/math@train", shape="messages", n=100), 300, 64)
    config = PretrainConfig(data={}, hidden_size=16, layers=1, heads=1, vocabulary=300)
    torch.manual_seed(0)
    return new_model(config, tokenizer).eval()


def test_the_rate_rises_then_falls_to_a_twentieth():
    rates = [schedule(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == rates[5] == pytest.approx(1)
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] == pytest.approx(FLOOR, abs=0.01)


def test_a_single_step_is_taken_at_the_full_rate():
    assert schedule(0, 1) == 1


def test_the_loss_counts_answer_tokens_only(model):
    example = Example((5, 6, 7, 8), (False, False, True, False))
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[5, 6]])).logits[0, -1]
        wanted = -torch.log_softmax(logits, -1)[7]
        assert answer_loss(model, [example]).item() == pytest.approx(wanted.item(), abs=1e-5)


def test_padding_changes_nothing(model):
    short = Example((5, 6, 7), (False, True, True))
    long = Example(tuple(range(10, 30)), (False,) * 10 + (True,) * 10)
    with torch.no_grad():
        apart = 2 * answer_loss(model, [short]) + 10 * answer_loss(model, [long])
        together = answer_loss(model, [short, long])
    assert together.item() == pytest.approx(apart.item() / 12, abs=1e-5)


def test_seed_and_threads_are_as_before_afterwards(tmp_path):
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    with reproducible(StageContext(tmp_path, seed=5, threads=1)):
        assert torch.get_num_threads() == 1
        torch.rand(3)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_an_untrained_model_is_about_as_good_as_guessing(model):
    example = Example(tuple(range(5, 60)), (False, *(True,) * 54))
    with torch.no_grad():
        assert answer_loss(model, [example]).item() == pytest.approx(math.log(300), rel=0.1)


def test_a_loss_that_is_not_finite_ends_the_training_with_its_rates(model, tmp_path):
    hot = Steps(muon_lr=1e30, adamw_lr=1e30, batch_tokens=16, epochs=4)
    examples = [Example((5, 6, 7, 8), (False, True, True, True))] * 8
    with pytest.raises(TrainingDiverged, match=r"lower muon_lr \(1e\+30\)"):
        fit(
            copy.deepcopy(model),
            examples,
            hot,
            StageContext(tmp_path / "out"),
            stage="test",
            identity=[],
        )
