"""Honoured clicks, by windows against whole volumes.

400 x 400 x 326 voxels as nibabel gives them (mask uint8, SUV float32), 200 predicted lesions, ten tumour and ten
background clicks: five tumour clicks missed, five background clicks in lesions of their own, three in lesions that they
share with tumour clicks. The plain reference follows the same rules on the whole volume, once for each click; it is
timed on one click of each kind and extrapolated linearly.
"""

from __future__ import annotations

import numpy as np
from measure import compare
from scipy import ndimage
from skimage.segmentation import watershed

from clickpet.clicks.model import Clicks
from clickpet.postprocess.honoured_clicks import honour_clicks

SHAPE = (400, 400, 326)
AFFINE = np.diag([-2.036, 2.036, 3.0, 1.0])
EDGES = np.abs(np.diag(AFFINE)[:3])
NEIGHBOURS = ndimage.generate_binary_structure(3, 2)
LESIONS, MISSED, ALONE, SHARED = 200, 5, 5, 3


def rows():
    mask, suv, clicks = study()
    grown, alone, shared = clicks.tumor[0], clicks.background[0], (clicks.tumor[-1], clicks.background[-1])

    def reference():
        plain_growth(suv, grown, clicks.background)
        plain_component(mask, alone)
        plain_cut(mask, suv, *shared)

    kept, record = honour_clicks(mask, suv, clicks, AFFINE)
    if [len(record[name]) for name in ("grown", "removed", "cut")] != [MISSED, ALONE, SHARED]:
        raise ValueError(f"the clicks of the bench do not do what they should: {record}")
    window = plain_growth(suv, grown, clicks.background)
    if not kept[window].all():
        raise ValueError("the reference grows another lesion")
    yield compare(
        f"honour {len(clicks.tumor)} + {len(clicks.background)} clicks",
        reference,
        lambda: honour_clicks(mask, suv, clicks, AFFINE),
        goal=1000,
        largest_input=suv.nbytes,
        reference_scale=(MISSED + ALONE + SHARED) / 3,
        note=f"reference: 3 of {MISSED + ALONE + SHARED} clicks timed",
    )
    right = Clicks(clicks.tumor[-SHARED:], clicks.background[:0])
    yield compare(
        "honour clicks where all is right",
        None,
        lambda: honour_clicks(mask.view(bool), suv, right, AFFINE),
        largest_input=suv.nbytes,
    )


def study():
    """Balls of 4 to 7 voxels in cells of 32 voxels, hottest in the middle; some are left out of the mask."""
    rng = np.random.default_rng(20)
    cells = np.stack(np.meshgrid(*(np.arange(16, length - 16, 32) for length in SHAPE), indexing="ij"), -1).reshape(
        -1, 3
    )
    centres = rng.permutation(cells)[: LESIONS + MISSED]
    suv = np.asfortranarray(rng.random(SHAPE[::-1], dtype=np.float32).T)
    mask = np.zeros(SHAPE, np.uint8, order="F")
    places = np.stack(np.indices((17, 17, 17)), -1) - 8
    away = np.linalg.norm(places, axis=-1)
    for number, centre in enumerate(centres):
        radius = rng.uniform(4, 7)
        box = tuple(slice(place - 8, place + 9) for place in centre)
        suv[box] += (12 / (1 + np.exp((away - radius) * 2))).astype(np.float32)
        if number >= MISSED:
            mask[box] |= (away <= radius + 1).astype(np.uint8)
    beside = centres[-SHARED:] + np.array([4, 0, 0])
    tumor = np.concatenate([centres[:MISSED], centres[-10 + MISSED :]])
    background = np.concatenate([centres[MISSED : MISSED + ALONE], beside, [[1, 1, 1], [2, 2, 2]]])
    return mask, suv, Clicks(tumor, background[[0, 1, 2, 3, 4, 8, 9, 5, 6, 7]])


def plain_growth(suv, click, background):
    to_click, to_background = (distances_mm(points) for points in (click[None], background))
    own = to_click < to_background
    limit = min(0.5 * suv[own & (to_click <= 10)].max(), suv[tuple(click)])
    labels, _ = ndimage.label(own & (to_click <= (7500 / np.pi) ** (1 / 3)) & (suv >= limit), NEIGHBOURS)
    return labels == labels[tuple(click)]


def plain_component(mask, click):
    labels, _ = ndimage.label(mask, NEIGHBOURS)
    return labels == labels[tuple(click)]


def plain_cut(mask, suv, tumor, background):
    member = plain_component(mask, background)
    markers = np.zeros(SHAPE, np.int32)
    markers[tuple(tumor)], markers[tuple(background)] = 1, 2
    goes = distances_mm(background[None]) < distances_mm(tumor[None])
    for landscape in (-suv, ndimage.gaussian_gradient_magnitude(suv, 1)):
        goes &= watershed(landscape, markers, mask=member, connectivity=NEIGHBOURS) == 2
    return goes


def distances_mm(points):
    others = np.ones(SHAPE, bool)
    others[tuple(points.T)] = False
    return ndimage.distance_transform_edt(others, sampling=EDGES)
