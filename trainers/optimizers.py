"""Muon for the matrices inside a model and AdamW for the rest, as one optimizer.

Muon (Jordan et al. 2024) suits hidden matrices only; embeddings, output layer, norms and biases get AdamW
(Loshchilov & Hutter 2019). One object with one state, so that a scheduler, a trainer and a saved state
treat it like any other. Not here: learning rates over time; matrices that are split over devices.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch


class MuonAdamW(torch.optim.Optimizer):
    """Two groups: inner matrices under Muon, everything else under AdamW.

    Args:
        model: its parameters that need gradients are trained.
        muon_lr, adamw_lr: peak rates of the two groups.
    """

    def __init__(self, model: Any, muon_lr: float, adamw_lr: float) -> None:
        inner, outer = split(model)
        groups = [{"params": inner, "lr": muon_lr}, {"params": outer, "lr": adamw_lr}]
        self._parts: list[torch.optim.Optimizer] = []
        super().__init__([g for g in groups if g["params"]], {"lr": adamw_lr})
        if inner:
            self._parts.append(
                torch.optim.Muon(
                    inner, lr=muon_lr, momentum=0.95, weight_decay=0.01, adjust_lr_fn="original"
                )
            )
        if outer:
            self._parts.append(
                torch.optim.AdamW(outer, lr=adamw_lr, betas=(0.9, 0.98), weight_decay=0.0)
            )
        for own, part in zip(self.param_groups, self._parts, strict=True):
            own.update({k: v for k, v in part.param_groups[0].items() if k != "params"})
        self._share()

    def _share(self) -> None:
        """Let both parts work on the groups and the state of this object."""
        for group, part in zip(self.param_groups, self._parts, strict=True):
            part.param_groups = [group]
            part.state = self.state

    def step(self, closure: Any = None) -> Any:
        """One step of both.

        Raises:
            ValueError: a closure was passed; both parts would call it.
        """
        if closure is not None:
            raise ValueError("MuonAdamW takes no closure")
        for part in self._parts:
            part.step()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state."""
        super().load_state_dict(state_dict)
        self._share()


def split(model: Any) -> tuple[list[Any], list[Any]]:
    """Trainable parameters: the matrices inside the model, and all others."""
    outer = {
        id(layer.weight)
        for layer in (model.get_input_embeddings(), model.get_output_embeddings())
        if layer is not None
    }
    trained: Iterable[Any] = (p for p in model.parameters() if p.requires_grad)
    inner: list[Any] = []
    rest: list[Any] = []
    for parameter in trained:
        (inner if parameter.ndim == 2 and id(parameter) not in outer else rest).append(parameter)
    return inner, rest
