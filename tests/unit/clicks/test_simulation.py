"""Simulated clicks against the official protocol over whole volumes, step by step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from clickpet.clicks import simulation as module
from clickpet.clicks.model import Clicks
from clickpet.clicks.simulation import simulate_clicks
from clickpet.errors import InputError


def components_in_order(mask):
    """Masks of the 26-connected components, by their first voxel with x running fastest."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    flat = labels.ravel(order="F")
    return [labels == label for label in sorted(range(1, count + 1), key=lambda label: np.argmax(flat == label))]


def distance_inside(component):
    if component.all():
        return ndimage.distance_transform_edt(np.pad(component, 1))[1:-1, 1:-1, 1:-1]
    return ndimage.distance_transform_edt(component)


def clicks_on(mask, budget, random, offset):
    components = components_in_order(mask)
    if not components:
        return []
    chosen = random.choice(np.arange(1, len(components) + 1), size=min(budget, len(components)), replace=False)
    clicks = []

    def add(voxel):
        if offset:
            other = np.array(voxel) + random.randint(0, offset + 1, size=3)
            if np.all(other < mask.shape) and mask[tuple(other)]:
                voxel = other
        clicks.append([int(index) for index in voxel])

    for label in chosen:
        distance = distance_inside(components[label - 1])
        add(np.unravel_index(np.argmax(distance), mask.shape))
    while len(clicks) < budget:
        for label in chosen:
            component = components[label - 1]
            distance = distance_inside(component)
            border = np.argwhere(component & (distance == distance[component].min()))
            add(border[random.choice(len(border))])
            if len(clicks) == budget:
                break
    return clicks


def simulated_slowly(truth, suv, budget=10, seed=42, offset=0):
    random = np.random.RandomState(seed)
    lesions = truth != 0
    tumor = clicks_on(lesions, budget, random, offset)
    outside = suv[~lesions].astype(float)
    limit = np.percentile(outside, 99.75) if outside.size else np.inf
    return Clicks(tumor, clicks_on((suv.astype(float) > limit) & ~lesions, budget, random, offset))


def laid_out(array, layout):
    """The same values in another memory layout."""
    if layout == "strided":
        wide = np.zeros([2 * length for length in array.shape], array.dtype)
        wide[::2, ::2, ::2] = array
        return wide[::2, ::2, ::2]
    return np.array(array, order=layout)


LAYOUTS = st.sampled_from(["C", "F", "strided"])


class TestSimulate:
    @given(
        shape=st.tuples(*[st.integers(1, 13)] * 3),
        density=st.sampled_from([0.0, 0.05, 0.3, 0.9, 1.0]),
        dtype=st.sampled_from(["float16", "float32", "float64", "uint8", "int16"]),
        layout=LAYOUTS,
        budget=st.sampled_from([1, 3, 10]),
        offset=st.sampled_from([0, 2]),
        seed=st.integers(0, 99),
    )
    @settings(max_examples=120, deadline=None)
    def test_against_whole_volumes(self, shape, density, dtype, layout, budget, offset, seed):
        rng = np.random.default_rng(seed)
        truth = laid_out((rng.random(shape) < density).astype(np.uint8), layout)
        suv = laid_out(rng.gamma(1, 3, shape).astype(dtype), layout)
        found = simulate_clicks(truth, suv, budget=budget, seed=seed, offset_vox=offset)
        assert found == simulated_slowly(truth, suv, budget, seed, offset)

    @pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.float32])
    def test_blobs(self, dtype):
        rng = np.random.default_rng(4)
        suv = ndimage.gaussian_filter(rng.random((31, 45, 27)), 2).astype(np.float32)
        suv *= 9 / suv.max()
        truth = (suv > np.percentile(suv, 98)).astype(dtype)
        found = simulate_clicks(truth, suv)
        assert found == simulated_slowly(truth, suv)
        assert len(found.tumor) == len(found.background) == 10
        assert all(truth[tuple(voxel)] for voxel in found.tumor)
        assert not any(truth[tuple(voxel)] for voxel in found.background)

    def test_no_lesion_gives_background_only(self):
        suv = np.random.default_rng(0).random((20, 20, 20), np.float32)
        found = simulate_clicks(np.zeros(suv.shape, np.uint8), suv)
        assert len(found.tumor) == 0
        assert len(found.background) == 10

    def test_all_lesion_gives_tumor_only(self):
        found = simulate_clicks(np.ones((5, 7, 9), bool), np.ones((5, 7, 9), np.float32), budget=3)
        assert found.tumor[0].tolist() == [2, 2, 2]  # the first voxel of the core
        assert len(found.tumor) == 3
        assert len(found.background) == 0

    def test_flat_uptake_gives_no_background(self):
        found = simulate_clicks(np.zeros((9, 9, 9), bool), np.full((9, 9, 9), 2.5, np.float32))
        assert found == Clicks.empty()

    def test_one_click_per_component_first(self):
        truth = np.zeros((30, 9, 9), np.uint8)
        for number in range(4):
            truth[1 + 7 * number : 6 + 7 * number, 2:7, 2:7] = 1
        found = simulate_clicks(truth, np.zeros(truth.shape, np.float32)).tumor
        assert sorted(found[:4].tolist()) == [[3 + 7 * number, 4, 4] for number in range(4)]
        assert found[4:8, 0].tolist() != found[:4, 0].tolist()
        assert (found[4:8, 0] // 7).tolist() == (found[:4, 0] // 7).tolist()  # cycling in the same order

    def test_more_components_than_budget(self):
        truth = np.zeros((41, 41, 1), np.uint8)
        truth[::2, ::2] = 1
        found = simulate_clicks(truth, np.zeros(truth.shape, np.float32), budget=7).tumor
        assert len({tuple(voxel) for voxel in found.tolist()}) == 7

    def test_seed_decides(self):
        rng = np.random.default_rng(1)
        truth, suv = rng.random((20, 20, 20)) < 0.02, rng.random((20, 20, 20))
        assert simulate_clicks(truth, suv) == simulate_clicks(truth, suv)
        assert simulate_clicks(truth, suv, seed=1) != simulate_clicks(truth, suv, seed=2)

    def test_same_on_every_machine(self):
        x, y, z = np.indices((24, 20, 16))
        truth = ((x - 6) ** 2 + (y - 6) ** 2 + (z - 6) ** 2 < 12) | ((x - 17) ** 2 + (y - 13) ** 2 + (z - 9) ** 2 < 9)
        suv = ((37 * x * x + 11 * y * y + 13 * z * z) % 997).astype(np.float32)
        found = simulate_clicks(truth, suv, budget=4)
        assert found.tumor.tolist() == TUMOR_OF_SEED_42
        assert found.background.tolist() == BACKGROUND_OF_SEED_42

    def test_grids_must_agree(self):
        with pytest.raises(InputError, match="truth is 2x2x2 but SUV is 2x2x3"):
            simulate_clicks(np.zeros((2, 2, 2)), np.zeros((2, 2, 3)))

    @given(
        seed=st.integers(0, 99),
        size=st.sampled_from([1, 7, 400, 1001]),
        percentile=st.sampled_from([0.0, 50.0, 90.0, 99.75, 99.9, 100.0]),
        levels=st.sampled_from([1, 2, 5, 100000]),
        dtype=st.sampled_from(["float16", "float32", "float64", "int16"]),
        share=st.sampled_from([0.0, 0.5, 0.95]),
    )
    @settings(max_examples=200, deadline=None)
    def test_uptake_limit_parts_as_the_percentile_does(self, seed, size, percentile, levels, dtype, share):
        rng = np.random.default_rng(seed)
        suv = (rng.integers(0, levels, (size, 1, 3)) / 7).astype(dtype)
        lesions = rng.random(suv.shape) < share
        if lesions.all():
            return
        limit = module._uptake_limit(suv, lesions, percentile)
        expected = suv.astype(float) > np.percentile(suv[~lesions].astype(float), percentile)
        assert np.array_equal((suv > limit)[~lesions], expected[~lesions])

    def test_uptake_limit_of_many_voxels(self):
        rng = np.random.default_rng(0)
        suv = np.asfortranarray(rng.gamma(0.3, 2, (130, 120, 110)).astype(np.float32))
        suv[:, :60] = 0  # air: the sample sees other shares than there are
        lesions = np.asfortranarray(suv > 12)
        limit = module._uptake_limit(suv, lesions)
        expected = suv > np.percentile(suv[~lesions].astype(float), 99.75)
        assert np.array_equal((suv > limit)[~lesions], expected[~lesions])


class TestRealStudies:
    def test_simulation_on_a_real_grid(self, shared_data):
        import nibabel as nib

        path = min((shared_data / "autopet" / "organs").glob("psma*.nii.gz"), key=lambda path: path.stat().st_size)
        organs = np.asarray(nib.load(path).dataobj)[::2, ::2, ::2]
        truth = np.isin(organs, (4, 10))  # bladder and head glands in place of lesions
        suv = organs.astype(np.float32) + np.random.default_rng(0).random(organs.shape, np.float32)
        assert simulate_clicks(truth, suv, budget=4) == simulated_slowly(truth, suv, budget=4)


TUMOR_OF_SEED_42 = [[17, 13, 9], [6, 6, 6], [18, 15, 9], [4, 6, 4]]
BACKGROUND_OF_SEED_42 = [[12, 3, 14], [11, 18, 15], [19, 12, 1], [22, 6, 7]]
