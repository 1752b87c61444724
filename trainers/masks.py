"""Which weights a magnitude rule drops, and keeping dropped weights at zero while others learn.

The smallest absolute values go (Han et al. 2015, "Learning both Weights and Connections", section 3):
within each matrix, over all matrices, or two of every four neighbours along the input. Not here: rules
that look at activations (prune_calibrated.py); whole neurons (prune_structured.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Scope = Literal["matrix", "global", "2:4"]


def drop_smallest(weights: Mapping[str, torch.Tensor], sparsity: float, scope: Scope) -> None:
    """Set the smallest weights of each matrix [out, in] to zero, in place.

    Exactly round(sparsity * n) weights go of a matrix, or of all together; zeros count as the smallest.
    """
    import torch

    with torch.no_grad():
        if scope == "2:4":
            for weight_oi in weights.values():
                weight_oi.mul_(two_of_four(weight_oi))
        elif scope == "matrix":
            for weight_oi in weights.values():
                weight_oi.view(-1)[_smallest(weight_oi.abs().view(-1), sparsity)] = 0
        else:
            sizes = [w.numel() for w in weights.values()]
            drop_n = torch.zeros(sum(sizes), dtype=torch.bool)
            drop_n[
                _smallest(torch.cat([w.abs().view(-1).cpu() for w in weights.values()]), sparsity)
            ] = True
            for weight_oi, part in zip(weights.values(), torch.split(drop_n, sizes), strict=True):
                weight_oi.masked_fill_(part.view_as(weight_oi).to(weight_oi.device), 0)


def _smallest(size_n: torch.Tensor, share: float) -> torch.Tensor:
    """Places of the round(share * n) smallest values; of equal ones the first."""
    count = round(share * size_n.numel())
    return size_n.sort(stable=True).indices[:count]


def two_of_four(weight_oi: torch.Tensor) -> torch.Tensor:
    """1 at the two largest of every four neighbours along the input, 0 at the others; like `weight_oi`."""
    import torch

    groups_g4 = weight_oi.abs().reshape(-1, 4)
    keep_g2 = groups_g4.sort(dim=1, descending=True, stable=True).indices[:, :2]
    return torch.zeros_like(groups_g4).scatter_(1, keep_g2, 1.0).view_as(weight_oi)


def zeros_kept(weights: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    """Masks: 0 where a weight is zero now, 1 elsewhere; of the matrices that have zeros."""
    masks = {name: (weight != 0).to(weight.dtype) for name, weight in weights.items()}
    return {name: mask for name, mask in masks.items() if not bool(mask.all())}


def apply(masks: Mapping[str, torch.Tensor], weights: Mapping[str, torch.Tensor]) -> None:
    """Put the weights that a mask drops back to zero, in place."""
    import torch

    with torch.no_grad():
        for name, mask in masks.items():
            weights[name].mul_(mask)
