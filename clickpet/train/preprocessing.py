"""A training case as nnU-Net stores it: normalised, resampled, with lesions and organs in one segmentation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from clickpet.clicks.heatmap_options import HeatmapOptions
from clickpet.clicks.model import Clicks
from clickpet.geometry import Turn, spacing_mm
from clickpet.nnunet.plans import CONFIGURATION
from clickpet.nnunet.resampling import resize_image, resize_labels
from clickpet.nnunet.stored_case import write_properties
from clickpet.train.stored_clicks import RECORD, store_clicks

#: nnU-Net's resampling of images and of segmentations that `clickpet.nnunet.resampling` does, too.
_KNOWN = {
    "resampling_fn_data": {"is_seg": False, "order": 3, "force_separate_z": None},
    "resampling_fn_seg": {"is_seg": True, "order": 1, "force_separate_z": None},
}


def preprocess_case(
    ct: np.ndarray,
    suv: np.ndarray,
    shown: np.ndarray,
    truth: np.ndarray,
    organs: np.ndarray | None,
    affine: np.ndarray,
    *,
    plans: dict,
    dataset: dict,
) -> tuple[np.ndarray, np.ndarray, dict]:
    """nnU-Net's preprocessing of one case, resampled by `clickpet.nnunet.resampling`.

    ct (HU), suv (g/ml), shown (the heatmap, or what takes its place; not normalised), truth (0, 1), organs (0, 2, 3,
    ...; None for a model without organ head) : (x, y, z) on one grid. The network is shown all studies with the same
    axes, CANONICAL, whatever the order in which they are stored.

    Returns data float32 (3, z, y, x), segmentation int16 (1 or 2, z, y, x): channel 0 lesion, channel 1
    organs, -1 outside, and nnU-Net's properties with the lesion locations and "digest", a hash of both arrays.
    """
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    manager = PlansManager(plans)
    turn = Turn.between(affine)
    labels = [truth] if organs is None else [truth, organs]
    segmentation = np.stack([turn.array(label).T for label in labels]).astype(np.int16, copy=False)
    images = np.stack([turn.array(image).T for image in (ct, suv, shown)], dtype=np.float32)
    data, segmentation, properties = DefaultPreprocessor(verbose=False).run_case_npy(
        images,
        segmentation,
        {"spacing": list(spacing_mm(turn.affine(ct.shape, affine)))[::-1]},
        manager,
        _with_own_resampling(manager.get_configuration(CONFIGURATION)),
        dataset,
    )
    data = np.ascontiguousarray(data, dtype=np.float32)
    segmentation = np.ascontiguousarray(segmentation, dtype=np.int16)
    digest = hashlib.sha256(data)
    digest.update(segmentation)
    properties["digest"] = digest.hexdigest()
    return data, segmentation, properties


def preprocess_with_clicks(
    ct: np.ndarray,
    suv: np.ndarray,
    clicks: Clicks,
    options: HeatmapOptions,
    truth: np.ndarray,
    organs: np.ndarray | None,
    affine: np.ndarray,
    *,
    plans: dict,
    dataset: dict,
) -> tuple[np.ndarray, np.ndarray, dict]:
    """A case for trainings that draw its clicks themselves: SUV in place of the heatmap, the clicks beside the data.

    Arguments and result are those of `preprocess_case`; the properties also hold the clicks on the network's grid
    (`clickpet.train.stored_clicks`), which count in the digest.
    """
    data, segmentation, properties = preprocess_case(ct, suv, suv, truth, organs, affine, plans=plans, dataset=dataset)
    record = store_clicks(
        clicks,
        options,
        shape=suv.shape,
        affine=affine,
        new_shape=data.shape[1:],
        properties=properties,
        transpose=plans["transpose_forward"],
    ).as_record()
    digest = hashlib.sha256((properties["digest"] + json.dumps(record)).encode())
    return data, segmentation, {**properties, RECORD: record, "digest": digest.hexdigest()}


def _with_own_resampling(configuration):
    """The planned configuration with our resampling in place of nnU-Net's where both do the same.

    The same labels, images within 1e-5 of their range; at equal spacing neither changes anything.
    """
    planned = configuration.configuration
    for name, known in _KNOWN.items():
        options = planned[f"{name}_kwargs"]
        if planned[name] != "resample_data_or_seg_to_shape" or any(options[key] != known[key] for key in known):
            return configuration

    class OwnResampling(type(configuration)):
        resampling_fn_data = staticmethod(_resampled_by(resize_image, configuration.resampling_fn_data))
        resampling_fn_seg = staticmethod(_resampled_by(resize_labels, configuration.resampling_fn_seg))

    return OwnResampling(planned)


def _resampled_by(resize: Callable, stock: Callable) -> Callable:
    """A function like nnU-Net's `stock`, channel by channel; where an axis is far coarser, nnU-Net's own."""

    def resample(data: np.ndarray, shape, spacing, new_spacing) -> np.ndarray:
        from nnunetv2.preprocessing.resampling.default_resampling import determine_do_sep_z_and_axis

        if data.shape[1:] == tuple(shape):
            return data
        if determine_do_sep_z_and_axis(None, spacing, new_spacing)[0]:
            return stock(data, shape, spacing, new_spacing)
        resampled = np.empty((len(data), *shape), dtype=data.dtype)
        for index, channel in enumerate(data):
            resampled[index] = resize(channel, shape)
        return resampled

    return resample


def save_preprocessed(
    files: dict[str, str | Path],
    data: np.ndarray,
    segmentation: np.ndarray,
    properties: dict,
    *,
    patch_size: Sequence[int],
) -> None:
    """Write a case as nnU-Net's dataset class reads it.

    files : "data" ({case}.b2nd), "segmentation" ({case}_seg.b2nd) and "properties" ({case}.pkl), in one folder;
    patch_size : (z, y, x), what the storage blocks are laid out for. The properties come last and by renaming,
    so that a case is there whole or not at all.
    """
    from nnunetv2.training.dataloading.nnunet_dataset import comp_blosc2_params, nnUNetDatasetBlosc2

    final = {name: Path(path) for name, path in files.items()}
    stem = final["properties"].with_name("." + final["properties"].stem)
    written = {
        "data": stem.with_name(stem.name + ".b2nd"),
        "segmentation": stem.with_name(stem.name + "_seg.b2nd"),
        "properties": stem.with_name(stem.name + ".pkl"),
    }
    stem.parent.mkdir(parents=True, exist_ok=True)
    for path in written.values():
        path.unlink(missing_ok=True)
    blocks, chunks = comp_blosc2_params(data.shape, tuple(patch_size), data.itemsize)
    blocks_seg, chunks_seg = comp_blosc2_params(segmentation.shape, tuple(patch_size), segmentation.itemsize)
    nnUNetDatasetBlosc2.save_case(
        data,
        segmentation,
        properties,
        str(stem),
        chunks=chunks,
        blocks=blocks,
        chunks_seg=chunks_seg,
        blocks_seg=blocks_seg,
    )
    write_properties(written["properties"], properties)
    for name, path in written.items():
        path.replace(final[name])
