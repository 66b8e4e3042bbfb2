"""nnU-Net's dataset description, fingerprint and plans for a lesion model."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clickpet.cohort import JOINT, TRACERS
from clickpet.errors import InputError
from clickpet.files import read_json, write_json
from clickpet.geometry import Turn, spacing_mm
from clickpet.nnunet.nonzero_box import nonzero_box

CONFIGURATION = "3d_fullres"
#: File of a fold's final weights.
CHECKPOINT = "checkpoint_final.pth"
#: Normalisation by channel as the autoPET III winner has it: CT's scheme for CT and PET, clicks left alone.
CHANNELS = {"0": "CT", "1": "CT", "2": "noNorm"}
#: Channel of the mask of the round before, in models that take one.
PREVIOUS_MASK = "3"
LABELS = {"background": 0, "lesion": 1}
PERCENTILES = (0.5, 50.0, 99.5)
SAMPLES_PER_CASE = 10_000
#: A patch that covers less of the median case than this gets the batch Dice (nnU-Net's rule).
BATCH_DICE_BELOW = 0.25
#: Grid (z, y, x) of most FDG studies of autoPET.
NOMINAL_SPACING_MM = (3.0, 2.036, 2.036)
NOMINAL_SHAPE = (326, 400, 400)


def dataset_json(n_training: int, *, previous_mask: bool = False) -> dict:
    """nnU-Net's dataset.json of a lesion model: CT, PET and clicks in, lesion out.

    previous_mask : the model takes the mask of the round before as a fourth channel, and the file says so.
    """
    if previous_mask:
        channels = {**CHANNELS, PREVIOUS_MASK: "noNorm"}
        return {**dataset_json(n_training), "channel_names": channels, "previous_mask": True}
    return {
        "channel_names": CHANNELS,
        "labels": LABELS,
        "numTraining": n_training,
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "SimpleITKIO",
    }


def fingerprint_case(ct: np.ndarray, suv: np.ndarray, truth: np.ndarray, affine: np.ndarray) -> tuple[dict, np.ndarray]:
    """What nnU-Net's fingerprint wants to know of a case, without importing nnU-Net.

    ct, suv, truth : (x, y, z); they are turned here to the axes that the networks see, CANONICAL. Returns a dict with
    "spacing" (mm, z y x), "shape_after_crop" (z y x) and "relative_size_after_cropping", and the float32 (2, n)
    intensities of CT and PET in the n lesion voxels. The click channel takes no part: it is not normalised.
    """
    turn = Turn.between(affine)
    affine = turn.affine(ct.shape, affine)
    ct, suv, truth = (turn.array(volume) for volume in (ct, suv, truth))
    box = nonzero_box([ct, suv])
    shape = [axis.stop - axis.start for axis in box]
    case = {
        "spacing": list(spacing_mm(affine))[::-1],
        "shape_after_crop": shape[::-1],
        "relative_size_after_cropping": float(np.prod(shape, dtype=float) / ct.size),
    }
    lesion = truth.T.astype(bool, copy=False)
    return case, np.stack([ct.T[lesion], suv.T[lesion]]).astype(np.float32, copy=False)


def fingerprint_cohort(cases: Sequence[dict], lesion_intensities: Sequence[np.ndarray]) -> dict:
    """nnU-Net's dataset fingerprint from those of the cases (in the same order each time).

    From each case with lesions SAMPLES_PER_CASE intensities are drawn, by nnU-Net's own function.
    Raises InputError if no case has a lesion: intensities could not be normalised.
    """
    from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor

    drawn = []
    for values in lesion_intensities:
        if values.shape[1]:
            samples, _ = DatasetFingerprintExtractor.collect_foreground_intensities(
                np.ones((1, 1, 1, values.shape[1]), np.int8), values[:, None, None], num_samples=SAMPLES_PER_CASE
            )
            drawn.append(np.asarray(samples))
    intensities = np.concatenate(drawn, axis=1) if drawn else np.empty((2, 0))
    if intensities.shape[1] == 0:
        raise InputError(
            "no training case of this tracer has a lesion", mend="add cases with lesions or leave the tracer out"
        )
    channels = {str(index): _statistics(values) for index, values in enumerate(intensities)}
    channels["2"] = {name: float(name in ("std", "max", "percentile_99_5")) for name in channels["0"]}
    return {
        "spacings": [case["spacing"] for case in cases],
        "shapes_after_crop": [case["shape_after_crop"] for case in cases],
        "foreground_intensity_properties_per_channel": channels,
        "median_relative_size_after_cropping": float(
            np.median([case["relative_size_after_cropping"] for case in cases])
        ),
    }


def _statistics(values: np.ndarray) -> dict:
    low, median, high = np.percentile(values, PERCENTILES)
    return {
        "mean": float(values.mean(dtype=np.float64)),
        "median": float(median),
        "std": float(values.std(dtype=np.float64)),
        "min": float(values.min()),
        "max": float(values.max()),
        "percentile_99_5": float(high),
        "percentile_00_5": float(low),
    }


def resencl_plans(fingerprint: dict, dataset: dict, *, tracer: str, spacing: Sequence[float] | None = None) -> dict:
    """Plans of nnU-Net's ResEncL planner: grid, normalisation and resampling; `network_plans` sets the network.

    spacing : target (z, y, x) in mm, or None for the planner's choice (the cohort's median).
    The planner's search for a patch that fits 24 GB is passed over, because the patch is given.
    """
    from nnunetv2.experiment_planning.experiment_planners.residual_unets.residual_encoder_unet_planners import (
        nnUNetPlannerResEncL,
    )

    class GivenPatchPlanner(nnUNetPlannerResEncL):
        @staticmethod
        def static_estimate_VRAM_usage(*args, **kwargs):  # noqa: N802 (nnU-Net's name)
            return 1

    name = f"Dataset{500 + (*TRACERS, JOINT).index(tracer):03d}_{tracer}"
    with tempfile.TemporaryDirectory() as folder:
        raw, preprocessed = Path(folder, "raw", name), Path(folder, "preprocessed", name)
        write_json(raw / "dataset.json", {**dataset, "dataset": {"case": {"images": ["case.nii.gz"], "label": "-"}}})
        write_json(preprocessed / "dataset_fingerprint.json", fingerprint)
        os.environ["nnUNet_raw"], os.environ["nnUNet_preprocessed"] = str(raw.parent), str(preprocessed.parent)
        target = [float(edge) for edge in spacing] if spacing else None
        GivenPatchPlanner(name, overwrite_target_spacing=target).plan_experiment()
        plans = read_json(next(preprocessed.glob("*Plans.json")))
    configuration = plans["configurations"][CONFIGURATION]
    configuration["data_identifier"] = f"clickpet_{tracer}"
    plans["configurations"] = {CONFIGURATION: configuration}
    return plans


def nominal_plans(spacing: Sequence[float] | None = None) -> dict:
    """ResEncL plans without a cohort: for studies as most of autoPET's FDG studies are.

    spacing : (z, y, x) in mm, None for theirs.
    """
    values = {"mean": 0.0, "median": 0.0, "std": 1.0, "min": -1.0, "max": 1.0}
    values |= {"percentile_00_5": -1.0, "percentile_99_5": 1.0}
    fingerprint = {
        "spacings": [list(NOMINAL_SPACING_MM)],
        "shapes_after_crop": [list(NOMINAL_SHAPE)],
        "foreground_intensity_properties_per_channel": dict.fromkeys(CHANNELS, values),
        "median_relative_size_after_cropping": 1.0,
    }
    return resencl_plans(fingerprint, dataset_json(1), tracer="fdg", spacing=spacing)


def with_normalisation(plans: dict, constants: dict[str, dict]) -> dict:
    """Plans that normalise the channels of `constants` ({"0": {"mean": ...}}) by these instead of the cohort's own."""
    return {
        **plans,
        "foreground_intensity_properties_per_channel": {
            **plans["foreground_intensity_properties_per_channel"],
            **constants,
        },
    }


@dataclass(frozen=True)
class Topology:
    """The network's size; None is nnU-Net's ResEncL.

    features_per_stage, blocks_per_stage : one number a stage;  max_stages : at most so many stages.
    """

    features_per_stage: list[int] | None = None
    blocks_per_stage: list[int] | None = None
    max_stages: int | None = None


def network_plans(
    plans: dict,
    *,
    patch_size: Sequence[int],
    batch_size: int,
    organ_classes: int,
    topology: Topology | None = None,
    previous_mask: bool = False,
) -> dict:
    """Plans with the network for the given patch: nnU-Net's topology rules, ResEncL blocks, two heads.

    patch_size : (z, y, x) in voxels;  organ_classes : of the organ head, background included, 0 for none;
    previous_mask : as for `dataset_json`.
    Raises InputError if the patch is not divisible as the topology needs it.
    """
    from nnunetv2.experiment_planning.experiment_planners.network_topology import get_pool_and_conv_props

    topology = topology or Topology()
    plans = deepcopy(plans)
    configuration = plans["configurations"][CONFIGURATION]
    max_pools = 999999 if topology.max_stages is None else topology.max_stages - 1
    _, strides, kernels, padded, _ = get_pool_and_conv_props(configuration["spacing"], tuple(patch_size), 4, max_pools)
    if list(padded) != list(patch_size):
        raise InputError(
            f"train.patch_size {list(patch_size)} does not fit the network's pooling",
            mend=f"use {[int(length) for length in padded]}",
        )
    arch = configuration["architecture"]
    kwargs = arch["arch_kwargs"]
    n_stages = len(strides)
    features = topology.features_per_stage or [min(320, 32 * 2**stage) for stage in range(n_stages)]
    blocks = topology.blocks_per_stage or [1, 3, 4, *[6] * n_stages]
    if len(features) < n_stages or len(blocks) < n_stages:
        raise InputError(
            f"the patch {list(patch_size)} leads to {n_stages} stages, but train.topology names fewer",
            mend="name as many features and blocks as stages, or set train.topology.max_stages",
        )
    kwargs.update(
        n_stages=n_stages,
        features_per_stage=[int(number) for number in features[:n_stages]],
        n_blocks_per_stage=[int(number) for number in blocks[:n_stages]],
        n_conv_per_stage_decoder=[1] * (n_stages - 1),
        strides=[[int(step) for step in stride] for stride in strides],
        kernel_sizes=[[int(width) for width in kernel] for kernel in kernels],
    )
    if organ_classes:
        arch["network_class_name"] = "clickpet.nnunet.network.DualHeadResidualEncoderUNet"
        kwargs["organ_classes"] = organ_classes
    if previous_mask:  # handled as the clicks are
        for key in ("normalization_schemes", "use_mask_for_norm"):
            configuration[key] = [*configuration[key], configuration[key][-1]]
        intensities = plans["foreground_intensity_properties_per_channel"]
        intensities[PREVIOUS_MASK] = dict(intensities["2"])
    median_voxels = float(np.prod(configuration["median_image_size_in_voxels"], dtype=np.float64))
    configuration.update(
        patch_size=[int(length) for length in patch_size],
        batch_size=batch_size,
        batch_dice=float(np.prod(patch_size, dtype=np.float64)) / median_voxels < BATCH_DICE_BELOW,
    )
    return plans
