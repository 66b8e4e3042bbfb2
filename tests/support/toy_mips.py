"""MIPs of a toy problem that the tracer discriminator learns in seconds."""

from __future__ import annotations

import numpy as np

SIZE = 64
OPTIONS = {"epochs": 8, "batch_size": 4, "patience": 8, "seed": 1, "learning_rate": 1e-3, "weight_decay": 0.01}


def toy_mips(n, seed, size=SIZE):
    """Half FDG (a hot head), half PSMA (two hot kidneys), in turn, on noise."""
    rng = np.random.default_rng(seed)
    mips = rng.random((n, size, size), np.float32)
    is_psma = np.arange(n) % 2 == 1
    step = size // 16
    for mip, psma in zip(mips, is_psma, strict=True):
        if psma:
            mip[8 * step : 10 * step, 5 * step : 6 * step] += 20
            mip[8 * step : 10 * step, 10 * step : 11 * step] += 20
        else:
            mip[step : 4 * step, 6 * step : 10 * step] += 10
    return mips, is_psma
