"""Clicks, heatmaps, projections and organ maps.

A median FDG study, 400 x 400 x 326 voxels of 2.036 x 2.036 x 3 mm (SUV float32, masks uint8, as nibabel gives them),
500 true lesions, 10 + 10 clicks. The plain references work on the whole volume once per click, class or component, as
the released code and the official click simulation do.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cc3d
import numpy as np
import SimpleITK as sitk
from measure import best_seconds, compare
from scipy.ndimage import distance_transform_edt, gaussian_filter

from clickpet.clicks.heatmap import draw_heatmap, heatmap_steps
from clickpet.clicks.simulation import simulate_clicks
from clickpet.evaluate.scores import score_masks
from clickpet.images import read_image, write_image
from clickpet.organs.labels import ORGAN_CLASSES, relabel_organs, table_from_names
from clickpet.postprocess.specks import drop_faint_specks
from clickpet.tracer.mip import render_mip

SHAPE = (400, 400, 326)
SPACING_MM = (2.036, 2.036, 3.0)
AFFINE = np.diag([-2.036, 2.036, 3.0, 1.0])
LESIONS = 500
BUDGET = 10


def rows():
    suv, truth = study()
    clicks = simulate_clicks(truth, suv, budget=BUDGET)
    yield heatmap(suv, clicks)
    yield heatmap_of_all_steps(suv, clicks)
    yield click_simulation(truth, suv)
    yield projection(suv)
    yield organ_look_up()
    yield whole_study(suv, truth, clicks)


def study():
    """A body with 14 hot organs and 500 lesions of 1 to 8 voxels in radius, on a noisy floor."""
    rng = np.random.default_rng(11)
    x, y, z = np.ogrid[tuple(map(slice, SHAPE))]
    body = ((x - 200) / 95) ** 2 + ((y - 200) / 60) ** 2 + 0 * z < 1
    suv = rng.random(SHAPE[::-1], dtype=np.float32).T * np.where(body, np.float32(1.2), np.float32(0.02))
    suv, truth = np.asfortranarray(suv), np.zeros(SHAPE, np.uint8, order="F")

    def ball(array, centre, radius, value):
        low = [max(0, c - radius) for c in centre]
        box = tuple(slice(start, c + radius + 1) for start, c in zip(low, centre, strict=True))
        local = np.ogrid[box]
        inside = sum((axis - c) ** 2 for axis, c in zip(local, centre, strict=True)) <= radius**2
        array[box][inside] = value * (0.8 + 0.4 * rng.random(int(inside.sum()), dtype=np.float32))

    for centre in rng.integers((130, 160, 20), (270, 240, 306), (14, 3)):
        ball(suv, centre, 12, 7)
    cells = np.stack(
        np.meshgrid(*(range(*span, 18) for span in ((115, 286), (150, 251), (12, 314))), indexing="ij"), -1
    )
    for centre in rng.permutation(cells.reshape(-1, 3))[:LESIONS]:
        radius = int(rng.integers(1, 9))
        ball(suv, centre, radius, 5)
        ball(truth, centre, radius, 2)
    truth[truth > 0] = 1
    return suv, truth


def heatmap(suv, clicks):
    expected = np.empty_like(suv)
    row = compare(
        "heatmap, 10 + 10 clicks",
        lambda: np.copyto(expected, plain_heatmap(suv, clicks)),
        lambda: draw_heatmap(suv, clicks),
        goal=100,
        largest_input=suv.nbytes,
    )
    same("heatmap", draw_heatmap(suv, clicks), expected, 1e-5)
    return row


def same(name, ours, expected, tolerance):
    """Raise unless our result and the reference's agree."""
    largest = float(np.abs(ours - expected).max())
    if largest > tolerance:
        raise ValueError(f"{name} and its reference differ by {largest}")


def plain_heatmap(suv, clicks):
    """One filter of the volume per tumour click, one for all background clicks."""
    tumor = np.zeros(suv.shape, np.float32, order="F")
    for click in map(tuple, clicks.tumor):
        local = np.zeros(suv.shape, np.float32, order="F")
        local[click] = 1
        local = gaussian_filter(local, 3, mode="constant")
        local[suv < min(suv[click], 3)] = 0
        tumor += local / local.max()
    tumor = np.clip(tumor, 0, 1)
    points = np.zeros(suv.shape, np.float32, order="F")
    for click in map(tuple, clicks.background):
        points[click] = 1
    peak = gaussian_filter(np.pad(np.ones((1, 1, 1)), 30), 6, mode="constant").max()
    background = np.clip(gaussian_filter(points, 6, mode="constant") / peak, 0, 1)
    background[tumor > 0] = 0
    return tumor - background


def heatmap_of_all_steps(suv, clicks):
    def every_step():
        for _, drawn in heatmap_steps(suv, clicks, range(11)):
            del drawn  # kept by nobody, as after writing it

    def one_by_one():
        for k in range(11):
            draw_heatmap(suv, clicks.first(k))

    return compare(
        "heatmaps of the steps 0..10",
        one_by_one,
        every_step,
        goal=1,
        largest_input=suv.nbytes,
        note="reference: our heatmap anew for each step",
    )


def click_simulation(truth, suv):
    """The reference's distance transforms are timed on one component of each kind."""

    def everything_else():
        labels = cc3d.connected_components(truth, connectivity=26)
        limit = np.percentile(suv[truth == 0], 99.75)
        uptake = cc3d.connected_components((suv > limit) & (truth == 0), connectivity=26)
        return labels, uptake, np.unique(labels), np.unique(uptake)

    labels, uptake, *_ = everything_else()
    seconds = best_seconds(everything_else, repeats=1)
    for components in (labels, uptake):
        seconds += BUDGET * best_seconds(lambda found=components: plain_centre(found, 7), repeats=1)
    return compare(
        f"click simulation, {LESIONS} lesions",
        None,
        lambda: simulate_clicks(truth, suv, budget=BUDGET),
        reference_s=seconds,
        goal=50,
        largest_input=suv.nbytes,
        note=f"reference: 2 of {2 * BUDGET} distance transforms timed",
    )


def plain_centre(labels, label):
    return np.unravel_index(np.argmax(distance_transform_edt(labels == label)), labels.shape)


def projection(suv):
    expected = np.empty((224, 224), np.float32)
    row = compare(
        "coronal projection at 3 mm",
        lambda: np.copyto(expected, plain_mip(suv)),
        lambda: render_mip(suv, AFFINE),
        goal=3,
        largest_input=suv.nbytes,
    )
    same("projection", render_mip(suv, AFFINE, compat="released"), expected, 1e-5 * float(suv.max()))
    return row


def plain_mip(suv):
    """Resample the volume with SimpleITK, take the maximum, crop."""
    image = sitk.GetImageFromArray(suv.T)
    image.SetSpacing(SPACING_MM)
    lengths = [int(np.round(n * edge / 3)) for n, edge in zip(suv.shape, SPACING_MM, strict=True)]
    frame = (image.GetOrigin(), [3.0, 3.0, 3.0], image.GetDirection())
    resampled = sitk.Resample(image, lengths, sitk.Transform(), sitk.sitkBSpline, *frame, 0.0)
    mip = sitk.GetArrayFromImage(resampled).max(axis=1)
    row, column = (max(0, length // 2 - 112) for length in mip.shape)
    return mip[row : row + 224, column : column + 224]


def organ_look_up():
    """117 classes of TotalSegmentator's task to 14 organs, as the released code does it: class by class."""
    named = [name for classes in ORGAN_CLASSES.values() for name in classes if "gland" not in name]
    organs = {organ: [name for name in classes if name in named] for organ, classes in ORGAN_CLASSES.items()}
    names = [*named, *(f"other {number}" for number in range(117 - len(named)))]
    table = table_from_names(dict(enumerate(names, start=1)), organs)
    labels = np.random.default_rng(5).integers(0, 118, (20, 20, 17), dtype=np.uint8)
    labels = np.asfortranarray(labels.repeat(20, 0).repeat(20, 1).repeat(20, 2)[..., : SHAPE[2]])

    def plain():
        relabelled = np.zeros_like(labels)
        for source, target in table.items():
            if target:
                relabelled[labels == source] = target
        return relabelled

    same("organ look-up", relabel_organs(labels, table), plain(), 0)
    return compare(
        f"organ look-up, {sum(target > 0 for target in table.values())} classes",
        plain,
        lambda: relabel_organs(labels, table),
        goal=5,
        largest_input=labels.nbytes,
    )


def whole_study(suv, truth, clicks):
    """What is left beside reading the PET and writing the mask: all that the workflow computes from them.

    SUVs are rounded to 15 bits, as a scanner's are: such a file is smaller and faster to read.
    """
    step = suv.max() / 2**15
    suv = np.round(suv / step) * step
    predicted = np.asfortranarray(truth * (np.random.default_rng(1).random(SHAPE[::-1], np.float32).T > 0.1))

    def method():
        simulate_clicks(truth, suv, budget=BUDGET)
        draw_heatmap(suv, clicks)
        render_mip(suv, AFFINE)
        render_mip(suv, AFFINE, axis="sagittal")
        lesions = drop_faint_specks(predicted, suv)
        score_masks(lesions, truth, AFFINE)

    with tempfile.TemporaryDirectory() as folder:
        pet, mask = Path(folder) / "suv.nii.gz", Path(folder) / "lesions.nii.gz"
        write_image(pet, suv, AFFINE)

        def files():
            read_image(pet)
            write_image(mask, truth, AFFINE)

        return compare(
            "clicks, heatmap, both projections, specks and scores of a study",
            files,
            method,
            goal=0.5,
            largest_input=suv.nbytes,
            memory_goal=None,  # several steps, one after the other; each has its own limit above
            reference_repeats=3,
            repeats=3,
            note="reference: reading its PET and writing its mask; promised: ours takes less than twice that",
        )
