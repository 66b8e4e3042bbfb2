"""The tracer of a study by the majority vote of the discriminator's folds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from clickpet.tracer.network import check_size, network_of


def find_tracer(mip: np.ndarray, models: Sequence[dict[str, torch.Tensor]]) -> dict:
    """Let the members of an ensemble vote on the tracer of a study.

    mip : float32 (size, size), SUV;  models : state dicts. The majority decides; where it is a tie, the mean
    probability does (PSMA from 0.5 on).
    Returns "tracer", "source" ("found"), "probability_psma" (of each member) and "votes" (number for each tracer).
    """
    check_size(mip[None])
    image = torch.from_numpy(np.ascontiguousarray(mip, np.float32))[None, None]
    with torch.no_grad():
        probabilities = [float(network_of(weights)(image)) for weights in models]
    for_psma = sum(probability >= 0.5 for probability in probabilities)
    return {
        "tracer": majority(probabilities),
        "source": "found",
        "probability_psma": probabilities,
        "votes": {"fdg": len(probabilities) - for_psma, "psma": for_psma},
    }


def majority(probabilities: Sequence[float]) -> str:
    """Tracer that most of the members' probabilities of PSMA speak for; in a tie their mean decides."""
    for_psma = sum(probability >= 0.5 for probability in probabilities)
    if 2 * for_psma == len(probabilities):
        return "psma" if np.mean(probabilities) >= 0.5 else "fdg"
    return "psma" if 2 * for_psma > len(probabilities) else "fdg"
