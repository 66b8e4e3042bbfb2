"""Heatmaps against their definition over the full volume, one `gaussian_filter` per click."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from clickpet.clicks.heatmap import draw_heatmap, heatmap_steps
from clickpet.clicks.heatmap_options import HeatmapOptions
from clickpet.clicks.model import KINDS, Clicks, Interaction
from clickpet.errors import InputError

CLOSE = 1e-5


def drawn_slowly(
    suv,
    clicks,
    *,
    sigma_tumor=3.0,
    sigma_background=6.0,
    unit="voxel",
    spacing_mm=(1, 1, 1),
    suv_gate=3.0,
    peak="unit",
    compat="paper",
    keep_clicked=False,
    truncate=4.0,
    border=None,
):
    """The definition in the paper's words, section 2.2, in float64."""
    edges = np.array(spacing_mm if unit == "mm" else (1, 1, 1), float)
    released = compat == "released"
    mode = border or ("reflect" if released else "constant")

    def blurred(array, sigma):
        return gaussian_filter(array, np.array(sigma) / edges, mode=mode, truncate=truncate)

    def one(click, sigma, peak):
        local = np.zeros(suv.shape)
        local[click] = 1
        local = blurred(local, sigma)
        if sigma is sigma_tumor:
            local[suv < min(float(suv[click]), suv_gate)] = 0
        return local / local.max() if peak == "unit" else local

    tumor = np.zeros(suv.shape)
    for scribble in clicks.of_kind("tumor"):
        tumor += np.max([one(click, sigma_tumor, peak) for click in map(tuple, scribble.tolist())], axis=0)
    tumor = np.clip(tumor, 0, 1)

    points = np.zeros(suv.shape)
    for click in map(tuple, clicks.background.tolist()):
        points[click] = 1
    background = np.zeros(suv.shape)
    scribbles = {frozenset(map(tuple, scribble.tolist())) for scribble in clicks.of_kind("background")}
    if all(len(scribble) == 1 for scribble in scribbles) and (released or peak == "raw"):
        background = blurred(points, sigma_background)
    else:
        background_sigma = np.array(sigma_background)  # another object than sigma_tumor: no gate
        for scribble in scribbles:
            background += np.max(
                [one(click, background_sigma, "raw" if released else peak) for click in scribble], axis=0
            )
    background = np.clip(background, 0, 1)
    erased = tumor > 0
    if keep_clicked or released:
        erased &= points == 0
    background[erased] = 0
    if released and peak == "unit" and background.max() > 0:
        background /= background.max()
    if released and not tumor.any():
        return background
    return tumor - background


def drawn(suv, clicks, *, spacing_mm=None, **options):
    """`draw_heatmap` with options by name, on a grid of axes along those of the patient."""
    affine = None if spacing_mm is None else np.diag([*spacing_mm, 1.0])
    return draw_heatmap(suv, clicks, HeatmapOptions(**options), affine=affine)


def case(shape, tumor, background, seed, dtype="float32", layout="C", scribbles=False):
    """SUV and clicks at random; some clicks at the border, some twice; some of them together, as scribbles."""
    rng = np.random.default_rng(seed)
    suv = rng.gamma(2, 2, shape).astype(dtype)
    if layout == "strided":
        suv = np.repeat(np.repeat(suv, 2, axis=0), 2, axis=2)[::2, :, ::2]
    suv = suv if layout == "strided" else np.array(suv, order=layout)

    def points(count):
        voxels = rng.integers(0, shape, (count, 3))
        at_border = rng.random(count) < 0.3
        voxels[at_border] = np.where(rng.random((int(at_border.sum()), 3)) < 0.5, 0, np.array(shape) - 1)
        if count > 2:
            voxels[2] = voxels[0]
        return voxels

    if not scribbles:
        return suv, Clicks(points(tumor), points(background))
    counts = {"tumor": tumor, "background": background}
    drawn = [Interaction(kind, points(rng.integers(1, 7))) for kind, count in counts.items() for _ in range(count)]
    return suv, Clicks.from_interactions(drawn + [one for one in drawn[-1:] if one.kind == "background"])


shapes = st.tuples(st.integers(1, 23), st.integers(1, 19), st.integers(1, 27))
sigmas = st.one_of(st.sampled_from([0.0, 0.4, 1.0, 3.0, 6.0]), st.tuples(*[st.sampled_from([0.0, 0.7, 2.5])] * 3))
options = st.fixed_dictionaries(
    {
        "sigma_tumor": sigmas,
        "sigma_background": sigmas,
        "suv_gate": st.sampled_from([0.0, 2.5, 3.0, 4.1, 1e6]),
        "peak": st.sampled_from(["unit", "raw"]),
        "compat": st.sampled_from(["paper", "released"]),
        "keep_clicked": st.booleans(),
        "truncate": st.sampled_from([2.0, 4.0]),
        "border": st.sampled_from([None, "constant", "reflect"]),
    }
)
millimetres = st.one_of(
    st.just({}), st.just({"unit": "mm", "spacing_mm": (2.036, 2.036, 3.0)}), st.just({"spacing_mm": (9, 9, 9)})
)


class TestAgainstTheDefinition:
    @given(
        shape=shapes,
        tumor=st.integers(0, 6),
        background=st.integers(0, 6),
        seed=st.integers(0, 10**6),
        dtype=st.sampled_from(["float16", "float32", "float64", "uint8", "int16", "int32"]),
        layout=st.sampled_from(["C", "F", "strided"]),
        scribbles=st.booleans(),
        options=options,
        grid=millimetres,
    )
    @settings(max_examples=250, deadline=None)
    def test_any_options(self, shape, tumor, background, seed, dtype, layout, scribbles, options, grid):
        suv, clicks = case(shape, tumor, background, seed, dtype, layout, scribbles)
        heatmap = drawn(suv, clicks, **options, **grid)
        assert heatmap.dtype == np.float32
        assert heatmap.shape == shape
        assert np.abs(heatmap).max() <= 1
        assert np.abs(heatmap - drawn_slowly(suv, clicks, **options, **grid)).max() <= CLOSE

    @pytest.mark.parametrize("compat", ["paper", "released"])
    def test_ten_and_ten_on_a_large_grid(self, compat):
        suv, clicks = case((91, 77, 103), 10, 10, seed=5)
        heatmap = drawn(suv, clicks, compat=compat)
        assert np.abs(heatmap - drawn_slowly(suv, clicks, compat=compat)).max() <= CLOSE

    @pytest.mark.parametrize("corner", [(0, 0, 0), (20, 16, 24), (0, 16, 12)])
    @pytest.mark.parametrize("border", ["constant", "reflect"])
    def test_border_clicks(self, corner, border):
        suv, _ = case((21, 17, 25), 0, 0, seed=1)
        for clicks in (Clicks([corner], []), Clicks([], [corner]), Clicks([corner], [corner])):
            found = drawn(suv, clicks, border=border)
            assert np.abs(found - drawn_slowly(suv, clicks, border=border)).max() <= CLOSE


class TestMeaning:
    SUV = np.full((31, 31, 31), 5, np.float32)
    MIDDLE = (15, 15, 15)

    def test_no_clicks(self):
        for compat in ("paper", "released"):
            assert not drawn(self.SUV, Clicks.empty(), compat=compat).any()

    def test_a_click_is_a_one(self):
        assert drawn(self.SUV, Clicks([self.MIDDLE], []))[self.MIDDLE] == 1
        assert drawn(self.SUV, Clicks([], [self.MIDDLE]))[self.MIDDLE] == -1

    def test_value_at_a_distance(self):
        heatmap = drawn(self.SUV, Clicks([self.MIDDLE], []))
        assert heatmap[15, 15, 18] == pytest.approx(np.exp(-0.5), abs=1e-6)
        assert heatmap[15, 15, 15 + 12] > 0
        assert heatmap[15, 15, 15 + 13] == 0

    def test_raw_peak(self):
        heatmap = drawn(self.SUV, Clicks([self.MIDDLE], []), peak="raw")
        assert heatmap[self.MIDDLE] == pytest.approx(0.0024, abs=1e-4)

    def test_millimetres(self):
        clicks = Clicks([self.MIDDLE], [(3, 3, 3)])
        options = {"sigma_tumor": 6.0, "sigma_background": 12.0, "unit": "mm", "spacing_mm": (2.0, 3.0, 4.0)}
        expected = drawn(self.SUV, clicks, sigma_tumor=(3, 2, 1.5), sigma_background=(6, 4, 3))
        assert np.array_equal(drawn(self.SUV, clicks, **options), expected)

    def test_millimetres_without_a_grid(self):
        with pytest.raises(InputError, match="give the affine of the PET"):
            draw_heatmap(self.SUV, Clicks([self.MIDDLE], []), HeatmapOptions(unit="mm"))

    @pytest.mark.parametrize(
        ("at_click", "neighbour", "seen"),
        [(5, 3.0, True), (5, 2.99, False), (2, 2.0, True), (2, 1.99, False), (3, 3, True), (2, 2.5, True)],
    )
    def test_gate_both_sides(self, at_click, neighbour, seen):
        suv = np.full((9, 9, 9), neighbour, np.float32)
        suv[4, 4, 4] = at_click
        assert (drawn(suv, Clicks([(4, 4, 4)], []))[4, 4, 5] > 0) == seen

    def test_gate_is_per_click(self):
        suv = np.full((9, 9, 40), 2.0, np.float32)
        suv[4, 4, 30] = 8  # this click hides its surroundings, the other does not
        heatmap = drawn(suv, Clicks([(4, 4, 6), (4, 4, 30)], []))
        assert heatmap[4, 4, 7] > 0.9
        assert heatmap[4, 4, 31] == 0

    def test_gate_of_the_released_code(self):
        suv = np.full((9, 9, 9), 3.5, np.float32)
        suv[4, 4, 4] = 8
        assert drawn(suv, Clicks([(4, 4, 4)], []), suv_gate=3)[4, 4, 5] > 0
        assert drawn(suv, Clicks([(4, 4, 4)], []), suv_gate=4)[4, 4, 5] == 0

    def test_unsigned_suv_does_not_wrap(self):
        suv = np.zeros((9, 9, 9), np.uint8)
        suv[4, 4, 4] = 255
        heatmap = drawn(suv, Clicks([(4, 4, 4)], [(0, 0, 0)]), suv_gate=300)
        assert heatmap[4, 4, 4] == 1
        assert np.count_nonzero(heatmap > 0) == 1

    def test_clicks_in_one_place(self):
        twice = Clicks([self.MIDDLE] * 2, [])
        once = Clicks([self.MIDDLE], [])
        at = (15, 15, 18)
        assert drawn(self.SUV, twice)[at] == 1  # 2 · 0.61, clipped
        assert drawn(self.SUV, once)[at] == pytest.approx(0.6065, abs=1e-4)
        background = [Clicks([], [self.MIDDLE] * count) for count in (1, 2)]
        assert np.array_equal(*[drawn(self.SUV, clicks) for clicks in background])

    def test_background_gives_way_to_tumor(self):
        clicks = Clicks([self.MIDDLE], [(15, 15, 18)])
        heatmap = drawn(self.SUV, clicks)
        assert heatmap[15, 15, 18] == pytest.approx(np.exp(-0.5), abs=1e-6)
        kept = drawn(self.SUV, clicks, keep_clicked=True)
        assert kept[15, 15, 18] == pytest.approx(np.exp(-0.5) - 1, abs=1e-6)
        kept[15, 15, 18] = heatmap[15, 15, 18]
        assert np.array_equal(kept, heatmap)

    def test_released_gets_the_sign_wrong(self):
        clicks = Clicks([], [self.MIDDLE])
        assert drawn(self.SUV, clicks).max() < 0
        released = drawn(self.SUV, clicks, compat="released")
        assert released.min() > 0
        assert released[self.MIDDLE] == pytest.approx(1, abs=1e-6)

    def test_released_divides_by_the_maximum_of_the_map(self):
        clicks = Clicks([(0, 0, 0)], [(20, 20, 18), (20, 20, 20)])
        released = drawn(self.SUV, clicks, compat="released", border="constant")
        assert released.min() == -1
        assert released[20, 20, 19] == -1
        assert released[20, 20, 18] > -1
        assert drawn(self.SUV, clicks)[20, 20, 18] == -1

    def test_input_is_left_alone(self):
        suv = self.SUV.copy()
        drawn(suv, Clicks([self.MIDDLE], [self.MIDDLE]))
        assert np.array_equal(suv, self.SUV)

    @pytest.mark.parametrize(
        ("options", "what"),
        [
            ({"unit": "cm"}, "heatmap.unit is 'cm'; use one of voxel, mm"),
            ({"peak": "max"}, "heatmap.peak"),
            ({"compat": "nnunet"}, "heatmap.compat"),
            ({"border": "wrap"}, "heatmap.border"),
            ({"sigma_tumor": -1}, "heatmap.sigma_tumor is -1"),
            ({"sigma_background": (1, 2)}, "heatmap.sigma_background"),
            ({"sigma_tumor": float("nan")}, "heatmap.sigma_tumor"),
        ],
    )
    def test_options_that_make_no_sense(self, options, what):
        with pytest.raises(InputError) as caught:
            drawn(self.SUV, Clicks.empty(), **options)
        assert what in str(caught.value)

    @pytest.mark.parametrize("voxel", [(31, 0, 0), (0, -1, 0)])
    def test_clicks_outside(self, voxel):
        for clicks in (Clicks([voxel], []), Clicks([], [voxel])):
            with pytest.raises(InputError, match="outside the grid 31x31x31"):
                drawn(self.SUV, clicks)


class TestScribbles:
    SUV = np.full((41, 31, 31), 5, np.float32)
    LINE = np.array([[x, 15, 15] for x in range(10, 31)])

    @pytest.mark.parametrize("kind", ["tumor", "background"])
    @pytest.mark.parametrize("compat", ["paper", "released"])
    def test_scribbles_of_one_point_are_clicks_bit_for_bit(self, kind, compat):
        suv, clicks = case((25, 31, 22), 7, 8, seed=3)
        alone = Clicks.from_interactions(clicks.interactions())
        assert np.array_equal(drawn(suv, clicks, compat=compat), drawn(suv, alone, compat=compat))

    def test_a_tube_is_no_sum(self):
        tube = drawn(self.SUV, Clicks.from_interactions([Interaction("tumor", self.LINE)]))
        assert (tube[10:31, 15, 15] == 1).all()
        assert tube[20, 15, 18] == pytest.approx(np.exp(-0.5), abs=1e-6)
        assert tube[20, 18, 18] == pytest.approx(np.exp(-1), abs=1e-6)
        assert drawn(self.SUV, Clicks(self.LINE, []))[20, 15, 18] == 1  # the same points as clicks of their own

    def test_two_scribbles_add_up(self):
        far = self.LINE + np.array([0, 6, 0])
        both = Clicks.from_interactions([Interaction("tumor", self.LINE), Interaction("tumor", far)])
        assert drawn(self.SUV, both)[20, 18, 15] == 1  # 2 x 0.61, clipped
        together = Clicks.from_interactions([Interaction("tumor", np.concatenate([self.LINE, far]))])
        assert drawn(self.SUV, together)[20, 18, 15] == pytest.approx(np.exp(-0.5), abs=1e-6)

    def test_the_gate_is_that_of_each_point(self):
        suv = np.full((9, 9, 40), 2.0, np.float32)
        suv[4, 4, 30] = 8  # this point hides its surroundings, the other does not
        scribble = Clicks.from_interactions([Interaction("tumor", [(4, 4, 6), (4, 4, 30)])])
        heatmap = drawn(suv, scribble)
        assert heatmap[4, 4, 7] > 0.9
        assert heatmap[4, 4, 31] == 0

    def test_the_order_of_points_does_not_matter(self):
        suv, clicks = case((25, 31, 22), 1, 1, seed=4, scribbles=True)
        turned = Clicks.from_interactions([Interaction(one.kind, one.points[::-1]) for one in clicks.interactions()])
        assert np.array_equal(drawn(suv, clicks), drawn(suv, turned))

    def test_a_scribble_through_the_body(self):
        rng = np.random.default_rng(0)
        suv = rng.gamma(2, 2, (40, 30, 60)).astype(np.float32)
        points = np.array([[10 + round(8 * np.sin(t / 9)), 12 + t // 9, t] for t in range(60)])
        clicks = Clicks.from_interactions(
            [Interaction(kind, points + np.array([i, 0, 0])) for i, kind in enumerate(KINDS)]
        )
        assert np.abs(drawn(suv, clicks) - drawn_slowly(suv, clicks)).max() <= CLOSE


class TestSteps:
    @given(
        seed=st.integers(0, 999),
        steps=st.lists(st.integers(0, 7), max_size=6),
        compat=st.sampled_from(["paper", "released"]),
    )
    @settings(max_examples=40, deadline=None)
    def test_each_step_is_the_heatmap_of_its_clicks(self, seed, steps, compat):
        suv, clicks = case((15, 12, 18), 5, 6, seed, scribbles=seed % 2 == 1)
        kept = list(heatmap_steps(suv, clicks, steps, HeatmapOptions(sigma_tumor=1.5, compat=compat)))
        assert [k for k, _ in kept] == steps
        for k, heatmap in kept:
            alone = drawn(suv, clicks.first(k), sigma_tumor=1.5, compat=compat)
            assert np.array_equal(heatmap, alone)

    def test_steps_are_lazy(self):
        suv, clicks = case((9, 9, 9), 3, 3, 0)
        steps = heatmap_steps(suv, clicks, iter([0, 1]))
        assert next(steps)[0] == 0
        assert next(steps)[0] == 1
        assert next(steps, None) is None


class TestRealGrid:
    def test_real_clicks(self, shared_data):
        import nibabel as nib

        from clickpet.clicks.reading import read_clicks

        path = min((shared_data / "autopet" / "organs").glob("psma*.nii.gz"), key=lambda path: path.stat().st_size)
        file = nib.load(path)
        name = path.name.removesuffix(".nii.gz")
        clicks = read_clicks(
            shared_data / "autopet" / "clicks" / f"{name}_clicks.json", shape=file.shape, affine=file.affine
        ).first(2)
        suv = np.asarray(file.dataobj).astype(np.float32)
        heatmap = drawn(suv, clicks)
        assert np.abs(heatmap - drawn_slowly(suv, clicks)).max() <= CLOSE
