"""Honoured clicks on real patients: right clicks hardly ever cost Dice, and are all honoured."""

import numpy as np
import pytest
from scipy import ndimage

from clickpet.clicks.simulation import simulate_clicks
from clickpet.images import read_image
from clickpet.postprocess.honoured_clicks import honour_clicks

PATIENTS = ("STS_001", "STS_010", "STS_024", "STS_033", "STS_040", "STS_051")
NEIGHBOURS = ndimage.generate_binary_structure(3, 2)


def dice(mask, truth):
    return 2 * np.count_nonzero(mask & truth) / (np.count_nonzero(mask) + np.count_nonzero(truth))


@pytest.mark.parametrize("patient", PATIENTS)
def test_clicks_from_the_truth_cost_hardly_any_dice(shared_data, patient):
    folder = shared_data / "sts_nifti" / patient
    pet, label = read_image(folder / "PET_image.nii.gz", np.float32), read_image(folder / "PET_mask.nii.gz")
    truth = label.array != 0
    assert truth.shape == pet.shape
    predictions = {
        "empty": np.zeros_like(truth),
        "exact": truth,
        "too small": ndimage.binary_erosion(truth, NEIGHBOURS, 2),
        "a rim too much": ndimage.binary_dilation(truth, NEIGHBOURS),
        "two rims too much": ndimage.binary_dilation(truth, NEIGHBOURS, 2),
    }
    clicks = simulate_clicks(truth, pet.array, budget=10, seed=42)
    gained = 0
    for name, mask in predictions.items():
        for number in (1, 3, 10):
            seen = clicks.first(number)
            kept, record = honour_clicks(mask, pet.array, seen, pet.affine)
            assert record["contradictions"] == []
            assert kept[tuple(seen.tumor.T)].all()
            assert not kept[tuple(seen.background.T)].any()
            change = dice(kept, truth) - dice(mask, truth)
            assert change >= -0.02, (name, number)
            gained += change
    assert gained > 0.1
