"""Clicks of a phantom study, as a reader would set them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def reader_clicks(pet, label, spacing, rng) -> dict:
    """Clicks as a reader would set them: the middle of each lesion, then more at random; the hottest benign places."""
    components, number = ndimage.label(label, np.ones((3, 3, 3)))
    tumour = []
    for component in range(1, number + 1):
        depth = ndimage.distance_transform_edt(np.pad(components == component, 1))[1:-1, 1:-1, 1:-1]
        tumour.append(np.unravel_index(np.argmax(depth), label.shape))
    tumour = [tumour[index] for index in rng.permutation(number)][:10]
    voxels = np.argwhere(label)
    while number and len(tumour) < 10:
        tumour.append(voxels[rng.integers(len(voxels))])
    benign = np.where(ndimage.binary_dilation(label, np.ones((3, 3, 3))), 0, pet)
    background = []
    for _ in range(10):
        place = np.unravel_index(np.argmax(benign), benign.shape)
        background.append(place)
        away = [(np.arange(length) - at) * edge for length, at, edge in zip(pet.shape, place, spacing, strict=True)]
        benign[away[0][:, None, None] ** 2 + away[1][:, None] ** 2 + away[2] ** 2 < 40**2] = 0
    points = [{"point": [int(index) for index in place], "name": "tumor"} for place in tumour]
    points += [{"point": [int(index) for index in place], "name": "background"} for place in background]
    return {"version": {"major": 1, "minor": 0}, "type": "Multiple points", "points": points}
