"""Honoured clicks: the contract on random masks, against plain code on whole volumes, and cases drawn by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage.segmentation import watershed

from clickpet.clicks.model import Clicks
from clickpet.errors import InputError
from clickpet.postprocess.honoured_clicks import honour_clicks

NEIGHBOURS = ndimage.generate_binary_structure(3, 2)
PEAK_MM = 10
AFFINES = (np.diag([2.0, 2.0, 2.0, 1]), np.diag([-4.0, 4.0, 3.0, 1]), np.diag([2.0, -3.0, 5.0, 1]))


def part_at(mask, voxel):
    """The component of `mask` at a voxel, of the whole volume."""
    labels, _ = ndimage.label(mask, NEIGHBOURS)
    return labels == labels[tuple(voxel)]


def distance_mm(shape, affine, points):
    """Distance of every voxel to the nearest of `points`."""
    edges = np.abs(np.diag(affine)[:3])
    places = np.stack(np.indices(shape), axis=-1) * edges
    away = [np.sqrt(((places - np.array(point) * edges) ** 2).sum(-1)) for point in points]
    return np.min(away, axis=0) if away else np.full(shape, np.inf)


def pass_level(suv, lesion, start, targets):
    """The highest level above which a way in the lesion leads from `start` to one of `targets`."""
    for level in np.unique(suv[lesion])[::-1]:
        high = lesion & (suv >= level)
        if high[start] and any(part_at(high, start)[one] for one in targets):
            return np.float64(level)
    raise AssertionError("a lesion is connected")


def stands_for(lesion, click, background, affine):
    """The voxel by which a tumour click shares a lesion; None if it does not."""
    if lesion[click]:
        return click
    x, y, z = click
    lines = (lesion[:, y, z], x), (lesion[x, :, z], y), (lesion[x, y, :], z)
    if sum(bool(line[:place].any() and line[place + 1 :].any()) for line, place in lines) < 2:
        return None
    free = [tuple(one) for one in np.argwhere(lesion).tolist() if tuple(one) not in background]
    away = distance_mm(lesion.shape, affine, [click]).round(6)
    return min(free, key=lambda one: away[one], default=None)


def plain(mask, suv, clicks, affine, *, grow_share, grow_ml):
    """The rules of docs/output.md, "Clicks honoured", on whole volumes."""
    tumor, background = ([tuple(one) for one in points.tolist()] for points in (clicks.tumor, clicks.background))
    both = set(tumor) & set(background)
    tumor, background = ([one for one in points if one not in both] for points in (tumor, background))
    kept = mask != 0
    for click in tumor:
        if kept[click]:
            continue
        to_click = distance_mm(mask.shape, affine, [click])
        own = to_click < distance_mm(mask.shape, affine, background) - 1e-6
        own[click] = True
        peak = suv[own & (to_click <= PEAK_MM)].max()
        ball = to_click <= (grow_ml * 1000 * 3 / (4 * np.pi)) ** (1 / 3)
        region = own & ball & (suv >= min(grow_share * peak, suv[click]))
        region[click] = True
        kept |= part_at(region, click)
    for click in background:
        if not kept[click]:
            continue
        lesion = part_at(kept, click)
        inside = [
            [voxel for one in tumor if (voxel := stands_for(lesion, one, background, affine)) is not None],
            [one for one in background if lesion[one]],
        ]
        peak = max(map(tuple, np.argwhere(lesion).tolist()), key=lambda one: suv[one])
        if not inside[0] and all(suv[one] < 0.8 * np.float64(suv[peak]) for one in inside[1]):
            inside[0].append(peak)
        goes = lesion.copy()
        if inside[0]:
            markers = np.zeros(mask.shape, int)
            for one in inside[0]:
                markers[one] = 1
            for one in inside[1]:
                lower = min(suv[one], max(suv[click] for click in inside[0]))
                markers[one] = 3 if pass_level(suv, lesion, one, inside[0]) < 0.5 * np.float64(lower) else 2
            edges = np.abs(np.diag(affine)[:3])
            slopes = [
                ndimage.gaussian_filter(suv.astype(float), 1, order=[int(axis == other) for other in range(3)]) / edge
                for axis, edge in enumerate(edges)
            ]
            gradient = np.sqrt(sum(slope**2 for slope in slopes))
            by_uptake, by_gradient = (
                watershed(landscape, markers, mask=lesion, connectivity=NEIGHBOURS)
                for landscape in (-suv.astype(float), gradient)
            )
            goes &= (by_uptake == 3) | ((by_uptake == 2) & (by_gradient >= 2))
            goes &= distance_mm(mask.shape, affine, inside[1]) < distance_mm(mask.shape, affine, inside[0]) - 1e-6
            goes[markers >= 2] = True
            goes = np.any([part_at(goes, one) for one in inside[1]], axis=0)
        kept &= ~goes
    return kept


@st.composite
def studies(draw):
    """A mask, an SUV without equal values, clicks anywhere, and an affine."""
    shape = draw(hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=9))
    voxels = int(np.prod(shape))
    seed = draw(st.integers(0, 2**31))
    random = np.random.default_rng(seed)
    suv = (random.permutation(voxels).reshape(shape) / voxels * draw(st.sampled_from([1, 8]))).astype(np.float32)
    if draw(st.booleans()):
        suv = ndimage.gaussian_filter(suv, 1.0).astype(np.float32)
    mask = ndimage.uniform_filter(random.random(shape), draw(st.integers(1, 3))) > draw(
        st.sampled_from([0.3, 0.5, 0.6])
    )
    points = [random.integers(0, shape, (draw(st.integers(0, 6)), 3)) for _ in range(2)]
    return mask, suv, Clicks(*points), draw(st.sampled_from(AFFINES))


@settings(deadline=None, max_examples=300)
@given(study=studies(), share=st.sampled_from([0.0, 0.4, 0.9, 1.0]), ml=st.sampled_from([0.0, 0.1, 1.0, 10.0]))
def test_the_contract_and_the_plain_rules(study, share, ml):
    mask, suv, clicks, affine = study
    before = mask.copy()
    kept, record = honour_clicks(mask, suv, clicks, affine, grow_share=share, grow_ml=ml)
    np.testing.assert_array_equal(mask, before)
    np.testing.assert_array_equal(kept, plain(mask, suv, clicks, affine, grow_share=share, grow_ml=ml))

    tumor, background = (set(map(tuple, points.tolist())) for points in (clicks.tumor, clicks.background))
    assert {tuple(voxel) for voxel in record["contradictions"]} == tumor & background
    assert all(kept[voxel] for voxel in tumor - background)
    assert not any(kept[voxel] for voxel in background - tumor)

    again, second = honour_clicks(kept, suv, clicks, affine, grow_share=share, grow_ml=ml)
    np.testing.assert_array_equal(again, kept)
    assert not any(second[name] for name in ("grown", "removed", "cut"))

    voxel_ml = abs(np.linalg.det(affine)) / 1000
    came, went = (sum(one["ml"] for one in record[name]) for name in ("grown", "removed"))
    went += sum(one["ml"] for one in record["cut"])
    assert (kept.sum() - mask.sum()) * voxel_ml == pytest.approx(came - went, abs=1e-9)


@settings(deadline=None)
@given(study=studies())
def test_what_no_click_speaks_against_is_left_alone(study):
    mask, suv, clicks, affine = study
    kept, _ = honour_clicks(mask, suv, clicks, affine, grow_share=1.0, grow_ml=0.0)
    labels, count = ndimage.label(mask, NEIGHBOURS)
    spoken = {labels[tuple(voxel)] for voxel in clicks.background.tolist()}
    missed = {tuple(voxel) for voxel in clicks.tumor.tolist() if not mask[tuple(voxel)]}
    if missed:  # a grown voxel may join two lesions
        return
    for number in set(range(1, count + 1)) - spoken:
        assert kept[labels == number].all()


@settings(deadline=None)
@given(study=studies(), order=st.sampled_from([np.ascontiguousarray, np.asfortranarray]))
def test_memory_order_and_type_of_the_mask_do_not_matter(study, order):
    mask, suv, clicks, affine = study
    expected, _ = honour_clicks(mask, suv, clicks, affine)
    kept, _ = honour_clicks(order(mask.astype(np.uint8)) * 3, order(suv), clicks, affine)
    np.testing.assert_array_equal(kept, expected)
    assert kept.dtype == bool


def two_hills():
    """A line of hot voxels: a tumour with its peak at 5, an organ with its peak at 15 and twice the uptake."""
    x = np.arange(24)
    profile = 10 * np.exp(-(((x - 5) / 3.0) ** 2)) + 20 * np.exp(-(((x - 15) / 3.0) ** 2))
    suv = np.zeros((24, 7, 7), np.float32)
    suv[:, 2:5, 2:5] = profile[:, None, None]
    return suv


def test_a_background_click_takes_the_organ_and_leaves_the_tumour_beside_it():
    suv = two_hills()
    mask = suv > 1
    assert part_at(mask, (5, 3, 3))[15, 3, 3]
    kept, record = honour_clicks(mask, suv, Clicks([[5, 3, 3]], [[15, 3, 3]]), np.diag([4.0, 4, 4, 1]))
    valley = 5 + int(np.argmin(suv[5:15, 3, 3]))
    assert abs(valley - 9) <= 1
    assert kept[mask & (np.arange(24) < valley - 1)[:, None, None]].all()
    assert not kept[valley + 1 :].any()
    assert len(record["cut"]) == 1
    assert not record["removed"]


def test_a_background_click_at_the_rim_takes_the_rim_and_leaves_the_tumour():
    places = np.stack(np.indices((25, 25, 25)), -1) - 12
    away = np.linalg.norm(places, axis=-1)
    suv = (10 / (1 + np.exp((away - 6) * 2))).astype(np.float32)
    mask, truth = away <= 8, away <= 6
    kept, record = honour_clicks(mask, suv, Clicks([[12, 12, 12]], [[20, 12, 12]]), np.diag([4.0, 4, 4, 1]))
    assert not kept[20, 12, 12]
    assert kept[truth].all()
    assert record["cut"][0]["click"] == [20, 12, 12]


def test_a_tumour_with_a_cold_centre_is_cut_at_its_rim_and_not_removed():
    places = np.stack(np.indices((25, 25, 25)), -1) - 12
    away = np.linalg.norm(places, axis=-1)
    suv = (10 * np.exp(-(((away - 6) / 1.5) ** 2))).astype(np.float32)
    mask = (away >= 4) & (away <= 9)
    clicks = Clicks([[12, 12, 12]], [[21, 12, 12]])
    kept, record = honour_clicks(mask, suv, clicks, np.diag([4.0, 4, 4, 1]), grow_ml=0)
    assert not record["removed"]
    assert record["cut"][0]["ml"] < 0.1 * mask.sum() * 0.064
    assert kept[12, 12, 12]
    assert not kept[21, 12, 12]
    beside = Clicks([[12, 12, 1]], [[18, 12, 12]])  # not enclosed: on one side along all axes
    assert honour_clicks(mask, suv, beside, np.diag([4.0, 4, 4, 1]), grow_ml=0)[0].sum() == 1


def test_a_background_click_alone_removes_its_component_and_no_other():
    mask = np.zeros((20, 20, 20), bool)
    mask[2:6, 2:6, 2:6] = mask[10:14, 2:6, 2:6] = True
    mask[14, 6, 6] = True  # touches by a corner: a lesion of its own (18-connected)
    kept, record = honour_clicks(mask, np.ones(mask.shape), Clicks([], [[11, 3, 3]]), np.diag([2.0, 2, 2, 1]))
    expected = mask.copy()
    expected[10:14, 2:6, 2:6] = False
    np.testing.assert_array_equal(kept, expected)
    assert record["removed"] == [{"click": [11, 3, 3], "ml": pytest.approx(64 * 0.008)}]


@pytest.mark.parametrize(("uptake", "what"), [(7.9, "cut"), (8.1, "removed")])
def test_a_background_click_far_below_the_peak_takes_the_rim_of_a_tumour_that_nobody_clicked(uptake, what):
    mask = np.zeros((20, 20, 20), bool)
    mask[4:16, 8:12, 8:12] = True
    suv = np.where(mask, 5.0, 0).astype(np.float32)
    suv[5, 9, 9], suv[14, 9, 9] = 10, uptake
    kept, record = honour_clicks(mask, suv, Clicks([], [[14, 9, 9], [15, 8, 8]]), np.diag([2.0, 2, 2, 1]))
    assert kept[5, 9, 9] == (what == "cut")
    assert not kept[14, 9, 9]
    assert not kept[15, 8, 8]
    assert len(record[what]) == 1


def ball(centre, radius, shape=(40, 40, 40)):
    """Voxels at most `radius` voxels from `centre`."""
    return np.linalg.norm(np.stack(np.indices(shape), -1) - np.array(centre), axis=-1) <= radius


def test_a_missed_tumour_click_grows_what_is_hot_and_connected():
    suv = np.full((40, 40, 40), 0.5, np.float32)
    lesion, other = ball((12, 20, 20), 3), ball((20, 20, 20), 3)
    suv[lesion], suv[other] = 8, 9
    suv[12, 20, 20] = 10
    kept, record = honour_clicks(np.zeros(suv.shape, bool), suv, Clicks([[13, 20, 20]], []), np.diag([2.0, 2, 2, 1]))
    np.testing.assert_array_equal(kept, lesion)
    assert record["grown"] == [{"click": [13, 20, 20], "ml": pytest.approx(lesion.sum() * 0.008)}]


@pytest.mark.parametrize(("uptake", "inside"), [(4.0, True), (3.99, False)])
def test_both_sides_of_the_share(uptake, inside):
    suv = np.zeros((30, 5, 5), np.float32)
    suv[10:16, 2, 2] = [10, 8, uptake, uptake, uptake, 1]
    kept, _ = honour_clicks(suv > 99, suv, Clicks([[11, 2, 2]], []), np.diag([2.0, 2, 2, 1]), grow_share=0.4)
    assert kept[10:16, 2, 2].tolist() == [True, True, inside, inside, inside, False]
    assert kept.sum() == 2 + 3 * inside


def test_growth_ends_at_its_volume_and_before_a_background_click():
    suv = np.full((60, 60, 60), 5, np.float32)
    affine = np.diag([2.0, 2, 2, 1])
    empty = np.zeros(suv.shape, bool)
    kept, record = honour_clicks(empty, suv, Clicks([[30, 30, 30]], []), affine, grow_ml=4)
    assert record["grown"][0]["ml"] == pytest.approx(4, rel=0.05)
    np.testing.assert_array_equal(kept, ball((30, 30, 30), (4000 * 0.75 / np.pi) ** (1 / 3) / 2, suv.shape))
    kept, _ = honour_clicks(empty, suv, Clicks([[30, 30, 30]], [[34, 30, 30]]), affine, grow_ml=4)
    assert kept[31].any()
    assert not kept[32:].any()  # 32 is as near to the one as to the other


def test_clicks_of_both_kinds_on_a_voxel_are_named_and_left_out():
    mask = np.zeros((9, 9, 9), bool)
    mask[2:5, 2:5, 2:5] = True
    clicks = Clicks([[3, 3, 3], [7, 7, 7]], [[3, 3, 3], [7, 7, 7]])
    kept, record = honour_clicks(mask, np.ones(mask.shape), clicks, np.eye(4))
    np.testing.assert_array_equal(kept, mask)
    assert record == {"contradictions": [[3, 3, 3], [7, 7, 7]], "grown": [], "removed": [], "cut": []}


def test_a_mask_that_is_right_comes_back_as_it_is():
    mask = ball((12, 12, 12), 4, (30, 30, 30))
    kept, record = honour_clicks(mask, np.ones(mask.shape), Clicks([[12, 12, 12]], [[20, 20, 20]]), np.eye(4))
    assert kept is mask
    assert not any(record.values())


def test_a_component_larger_than_the_first_window_is_found_whole():
    mask = np.zeros((120, 9, 9), bool)
    mask[5:115, 4, 4] = True
    mask[114, 4:8, 4] = True
    kept, _ = honour_clicks(mask, np.ones(mask.shape), Clicks([], [[6, 4, 4]]), np.eye(4))
    assert not kept.any()


def test_what_does_not_fit_is_refused():
    mask = np.zeros((4, 5, 6), bool)
    with pytest.raises(InputError, match="differ in shape"):
        honour_clicks(mask, np.zeros((4, 5, 7)), Clicks.empty(), np.eye(4))
    with pytest.raises(InputError, match="a background click is outside the grid"):
        honour_clicks(mask, np.zeros(mask.shape), Clicks([], [[4, 0, 0]]), np.eye(4))
