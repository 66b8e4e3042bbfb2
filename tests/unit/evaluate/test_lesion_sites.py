"""clickpet.evaluate.lesion_sites against counting voxels lesion by lesion."""

import numpy as np
import pytest

from clickpet.errors import InputError
from clickpet.evaluate.lesion_sites import lesion_sites, volume_by_site
from clickpet.organs.labels import ORGANS


def test_half_of_a_lesion_in_an_organ_is_in_it_and_less_is_not():
    numbers, organs = np.zeros((2, 10, 4), np.uint16), np.zeros((2, 10, 4), np.uint8)
    for lesion, (organ, inside) in enumerate([("skeleton", 10), ("liver", 5), ("liver", 4), ("kidneys", 8)], start=1):
        numbers[0, :, lesion - 1] = lesion
        organs[0, :inside, lesion - 1] = ORGANS[organ]
    organs[0, 8:, 3] = ORGANS["liver"]  # the larger part counts
    assert lesion_sites(numbers, organs) == ["bone", "liver", "elsewhere", "kidneys"]


@pytest.mark.parametrize("seed", range(5))
def test_a_slow_oracle(seed):
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, 9, (12, 11, 10)).astype(np.uint16)
    organs = rng.choice([0, 2, 2, 2, 5, 14], (12, 11, 10)).astype(np.uint8)
    names = {value: name for name, value in ORGANS.items()}
    expected = []
    for lesion in range(1, 9):
        values = organs[numbers == lesion]
        counts = {value: np.count_nonzero(values == value) for value in np.unique(values) if value}
        best = max(counts, key=counts.get)
        name = "bone" if names[best] == "skeleton" else names[best].replace("_", " ")
        expected.append(name if counts[best] >= values.size / 2 else "elsewhere")
    assert lesion_sites(numbers, organs) == expected
    assert {"heart", "elsewhere"} >= set(expected)


def test_no_lesions_have_no_sites():
    assert lesion_sites(np.zeros((3, 3, 3), np.uint16), np.zeros((3, 3, 3), np.uint8)) == []
    with pytest.raises(InputError, match="differ in shape"):
        lesion_sites(np.zeros((3, 3, 3), np.uint16), np.zeros((3, 3, 4), np.uint8))


def test_volume_by_site():
    found = volume_by_site(["bone", "liver", "elsewhere", "bone", "kidneys"], [1, 2, 4, 8, 16])
    assert found == {"bone_ml": 9, "organs_ml": 18, "elsewhere_ml": 4}
