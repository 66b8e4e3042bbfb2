"""Post-processing, scores and lesion tables.

400 x 400 x 326 voxels as nibabel gives them (mask uint8, SUV float32), 5,000 predicted components of 1 to 125 voxels,
500 true ones, half of them touched by the prediction. The plain references label the volume (not counted) and look at
the whole volume once per component, as the released code and the official evaluation do; they are timed on evenly
spread components and extrapolated linearly to all.
"""

from __future__ import annotations

import numpy as np
from measure import compare
from scipy import ndimage

from clickpet.evaluate.bootstrap import bootstrap_mean
from clickpet.evaluate.lesion_table import PEAK_RADIUS_MM, measure_lesions
from clickpet.evaluate.scores import score_masks
from clickpet.postprocess.specks import drop_faint_specks

SHAPE = (400, 400, 326)
AFFINE = np.diag([-2.036, 2.036, 3.0, 1.0])
VOXEL_ML = 2.036 * 2.036 * 3.0 / 1000
#: Components that the references are timed on.
SAMPLE = 24


def rows():
    predicted, truth, suv = study()
    yield post_processing(predicted, suv)
    yield official_scores(predicted, truth)
    yield lesion_table(predicted, suv)
    yield intervals()


def study(predicted_components: int = 5000, true_components: int = 500):
    """Boxes of 1 to 5 voxels an edge in cells of 8 voxels, so that no two touch; SUV is noise up to 5."""
    rng = np.random.default_rng(20)
    cells = np.stack(np.meshgrid(*(np.arange(1, length - 8, 8) for length in SHAPE), indexing="ij"), -1).reshape(-1, 3)
    chosen = rng.permutation(cells)[: predicted_components + true_components // 2]
    predicted, truth = (np.zeros(SHAPE, np.uint8, order="F") for _ in range(2))
    for mask, corners in ((predicted, chosen[:predicted_components]), (truth, chosen[-true_components:])):
        for (x, y, z), (dx, dy, dz) in zip(corners, rng.integers(1, 6, (len(corners), 3)), strict=True):
            mask[x : x + dx, y : y + dy, z : z + dz] = 1
    suv = np.asfortranarray(rng.random(SHAPE[::-1], dtype=np.float32).T)
    suv *= 5
    return predicted, truth, suv


def labelled(mask, connectivity_rank):
    labels, count = ndimage.label(mask, ndimage.generate_binary_structure(3, connectivity_rank))
    return np.asfortranarray(labels), count


def post_processing(predicted, suv):
    labels, count = labelled(predicted, 3)
    sample = np.linspace(1, count, SAMPLE).astype(int)
    kept = predicted > 0
    same(drop_faint_specks(predicted, suv), plain_drop(kept.copy(), labels, suv, sample), labels, sample)
    return compare(
        f"drop faint specks, {count:,} components",
        lambda: plain_drop(kept, labels, suv, sample),
        lambda: drop_faint_specks(predicted, suv),
        goal=200,
        largest_input=suv.nbytes,
        reference_scale=count / SAMPLE,
        note=f"reference: {SAMPLE} of {count:,} components timed",
    )


def plain_drop(kept, labels, suv, numbers):
    for number in numbers:
        component = labels == number
        if component.sum() < 10 and suv[component].max() < 4:
            kept[component] = False
    return kept


def same(ours, reference, labels, sample):
    """Raise unless both agree on the sampled components."""
    where = np.isin(labels, sample)
    if not np.array_equal(ours[where], reference[where]):
        raise ValueError("post-processing and its reference differ")


def official_scores(predicted, truth):
    (predicted_labels, n_predicted), (true_labels, n_true) = labelled(predicted, 2), labelled(truth, 2)
    share = SAMPLE / (n_predicted + n_true)
    numbers = [np.linspace(1, count, max(1, round(share * count))).astype(int) for count in (n_predicted, n_true)]
    timed = sum(len(sample) for sample in numbers)
    return compare(
        f"Dice, FPV, FNV, detection, {n_predicted:,} + {n_true:,} components",
        lambda: plain_volumes((predicted_labels, truth, numbers[0]), (true_labels, predicted, numbers[1])),
        lambda: score_masks(predicted, truth, AFFINE),
        goal=100,
        largest_input=predicted.nbytes,
        reference_scale=(n_predicted + n_true) / timed,
        note=f"reference: FPV and FNV only, {timed} of {n_predicted + n_true:,} components timed",
    )


def plain_volumes(*sides):
    volumes = []
    for labels, other, numbers in sides:
        untouched = 0
        for number in numbers:
            component = labels == number
            if (component * other).sum() == 0:
                untouched += component.sum()
        volumes.append(untouched * VOXEL_ML)
    return volumes


def lesion_table(predicted, suv):
    labels, count = labelled(predicted, 2)
    sample = np.linspace(1, count, SAMPLE).astype(int)
    return compare(
        f"lesion table with SUVpeak, {count:,} components",
        lambda: plain_measures(labels, suv, sample),
        lambda: measure_lesions(predicted, suv, AFFINE),
        goal=100,
        largest_input=suv.nbytes,
        reference_scale=count / SAMPLE,
        note=f"reference: {SAMPLE} of {count:,} components timed",
    )


def plain_measures(labels, suv, numbers):
    reach = np.ceil(PEAK_RADIUS_MM / np.abs(np.diag(AFFINE)[:3])).astype(int)
    measures = []
    for number in numbers:
        component = labels == number
        # Transposed, because argwhere is twenty times slower on arrays whose first axis is the fastest.
        voxels, values, peak = np.argwhere(component.T)[:, ::-1], suv[component], 0
        for voxel in voxels:
            low, high = np.maximum(voxel - reach, 0), voxel + reach + 1
            box = suv[tuple(map(slice, low, high))]
            place = np.indices(box.shape).reshape(3, -1).T + low - voxel
            inside = np.linalg.norm(place * np.diag(AFFINE)[:3], axis=1) <= PEAK_RADIUS_MM
            peak = max(peak, box.reshape(-1)[inside].mean())
        measures.append((voxels.mean(axis=0), values.max(), values.mean(), peak))
    return measures


def intervals():
    """1,611 studies of 1,278 patients, 2,000 repeats."""
    rng = np.random.default_rng(3)
    values, patients = rng.random(1611), np.concatenate([np.arange(1278), rng.integers(0, 1278, 333)])
    return compare(
        "confidence interval over patients, 1,611 studies, 2,000 repeats",
        lambda: plain_interval(values, patients, 100),
        lambda: bootstrap_mean(values, patients, repeats=2000, seed=0),
        goal=10,
        reference_scale=20,
        note="reference: 100 of 2,000 repeats timed",
    )


def plain_interval(values, patients, repeats):
    rng = np.random.default_rng(0)
    studies = {patient: values[patients == patient] for patient in np.unique(patients)}
    names = np.array(list(studies))
    means = [np.concatenate([studies[name] for name in rng.choice(names, names.size)]).mean() for _ in range(repeats)]
    return values.mean(), *np.quantile(means, [0.025, 0.975])
