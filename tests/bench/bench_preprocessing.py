"""Preprocessing of a train case at another spacing than the network's.

A PET/CT of 160 x 160 x 120 voxels with lesions and fourteen organs, brought from 4.07 x 4.07 x 5 mm to 2.73 x 2.73 x 3.
The reference is nnU-Net's own `DefaultPreprocessor` on the same arrays in the same run; both have one thread, as the
rule has. Images differ by less than 1e-5 of their range, labels not at all. Memory is a multiple of the three images.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from measure import compare
from scipy import ndimage
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

SHAPE, SPACING_MM, NETWORK_ZYX_MM = (160, 160, 120), (4.07, 4.07, 5.0), (3.0, 2.73, 2.73)
TOLERANCE = 1e-5


def rows():
    """Seconds and memory with organs and without."""
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
    from tiny_models import dataset, plans

    from clickpet.train.preprocessing import preprocess_case

    the_plans, the_dataset = plans(spacing_zyx=NETWORK_ZYX_MM), dataset()
    manager = PlansManager(the_plans)
    ct, suv, heatmap, truth, organs = study()
    affine = np.diag([-SPACING_MM[0], *SPACING_MM[1:], 1.0])  # LAS, which the networks see
    kept = {}

    def stock(labels):
        kept["stock"] = DefaultPreprocessor(verbose=False).run_case_npy(
            np.stack([array.T for array in (ct, suv, heatmap)]),
            np.stack([label.T for label in labels]).astype(np.int16),
            {"spacing": list(SPACING_MM[::-1])},
            manager,
            manager.get_configuration("3d_fullres"),
            the_dataset,
        )

    def ours(organ_map):
        given = (ct, suv, heatmap, truth, organ_map, affine)
        kept["ours"] = preprocess_case(*given, plans=the_plans, dataset=the_dataset)

    for name, labels, organ_map in (("lesions", [truth], None), ("lesions and organs", [truth, organs], organs)):
        with threadpool_limits(1):
            row = compare(
                f"preprocess a case, {name}",
                lambda labels=labels: stock(labels),
                lambda organ_map=organ_map: ours(organ_map),
                goal=5,
                largest_input=3 * ct.nbytes,
                memory_goal=None,
                repeats=3,
            )
        yield {**row, "note": agreement(kept["stock"], kept["ours"])}


def agreement(stock, ours) -> str:
    """How far two results differ; an error if that is more than is promised."""
    ranges = np.ptp(stock[0], axis=(1, 2, 3))
    apart = max(float(np.abs(a - b).max() / max(1, span)) for a, b, span in zip(ours[0], stock[0], ranges, strict=True))
    other = int(np.count_nonzero(ours[1] != stock[1]))
    if apart > TOLERANCE or other:
        raise RuntimeError(f"images differ by {apart:.2g} of their range, {other} labels differ")
    return f"images within {apart:.1g} of their range, labels equal"


def study():
    """CT, SUV, heatmap, lesions (0, 1) and organs (0, 2 to 15) of made-up shapes."""
    rng = np.random.default_rng(0)
    fields = [ndimage.gaussian_filter(rng.normal(size=SHAPE).astype(np.float32), 4) for _ in range(3)]
    fields = [field / field.std() for field in fields]
    organs = np.zeros(SHAPE, np.uint8)
    body = np.zeros(SHAPE, bool)
    body[30:130, 40:120, 5:115] = True
    organs[body] = np.digitize(fields[2][body], np.linspace(0.3, 2, 14)) + 1
    organs[organs == 1] = 0
    truth = (body & (fields[1] > 2.2)).astype(np.uint8)
    ct = np.where(body, 40 + 60 * fields[0], -1000).astype(np.float32)
    suv = (np.where(body, np.abs(fields[1]), 0) + 6 * truth).astype(np.float32)
    heatmap = np.zeros(SHAPE, np.float32)
    for x, y, z in np.argwhere(truth)[:: max(1, np.count_nonzero(truth) // 10)]:
        heatmap[max(0, x - 3) : x + 4, max(0, y - 3) : y + 4, max(0, z - 3) : z + 4] = 0.5
    return ct, suv, heatmap, truth, organs
