"""Stand-ins for TotalSegmentator's models: its folder layout and plans format, a small network, seeded weights."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet

from clickpet.organs.totalsegmentator import CHECKPOINT, Model

PATCH = (32, 48, 48)
FEATURES = 4


def write_stand_in(model: Model, weights: Path, *, seed: int = 0, favour: str | None = None) -> Path:
    """Write a model that is wrong about anatomy and right about everything else; returns its folder.

    The plans have the form of nnU-Net 2.0, in which TotalSegmentator's weights were published.
    favour : a class that is found somewhere, whatever the seed.
    """
    folder = model.path(weights)
    (folder / f"fold_{model.fold}").mkdir(parents=True)
    configuration = model.configuration.rsplit("__", 1)[1]
    labels = {"background": 0, **{name: label for label, name in model.names}}
    dataset = {
        "channel_names": {"0": "CT"}, "labels": labels, "numTraining": 1, "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "NibabelIOWithReorient",
    }  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(dataset))
    (folder / "plans.json").write_text(json.dumps(_plans(model, configuration)))
    checkpoint = {
        "network_weights": _network(len(labels), seed, labels.get(favour)).state_dict(),
        "trainer_name": "nnUNetTrainer",
        "init_args": {"configuration": configuration},
        "inference_allowed_mirroring_axes": None,
    }
    torch.save(checkpoint, folder / f"fold_{model.fold}" / CHECKPOINT)
    return folder


def _plans(model: Model, configuration: str) -> dict:
    resampling = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    return {
        "dataset_name": model.folder,
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": list(model.spacing_mm[::-1]),
        "original_median_shape_after_transp": [100, 100, 100],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            "0": {"mean": -50.0, "std": 400.0, "percentile_00_5": -1000.0, "percentile_99_5": 1000.0,
                  "median": 0.0, "min": -1024.0, "max": 3000.0},
        },
        "configurations": {
            configuration: {
                "data_identifier": "nnUNetPlans_3d_fullres",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": 2,
                "patch_size": list(PATCH),
                "median_image_size_in_voxels": [100.0, 100.0, 100.0],
                "spacing": list(model.spacing_mm[::-1]),
                "normalization_schemes": ["CTNormalization"],
                "use_mask_for_norm": [False],
                "UNet_class_name": "PlainConvUNet",
                "UNet_base_num_features": FEATURES,
                "n_conv_per_stage_encoder": [1, 1],
                "n_conv_per_stage_decoder": [1],
                "num_pool_per_axis": [1, 1, 1],
                "pool_op_kernel_sizes": [[1, 1, 1], [2, 2, 2]],
                "conv_kernel_sizes": [[3, 3, 3], [3, 3, 3]],
                "unet_max_num_features": 320,
                "resampling_fn_data": "resample_data_or_seg_to_shape",
                "resampling_fn_seg": "resample_data_or_seg_to_shape",
                "resampling_fn_data_kwargs": resampling,
                "resampling_fn_seg_kwargs": {**resampling, "is_seg": True, "order": 1},
                "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
                "resampling_fn_probabilities_kwargs": {**resampling, "order": 1},
                "batch_dice": True,
            }
        },
    }  # fmt: skip


def _network(n_labels: int, seed: int, favoured: int | None) -> torch.nn.Module:
    torch.manual_seed(seed)
    network = PlainConvUNet(
        input_channels=1, n_stages=2, features_per_stage=[FEATURES, 2 * FEATURES], conv_op=torch.nn.Conv3d,
        kernel_sizes=3, strides=[1, 2], n_conv_per_stage=[1, 1], num_classes=n_labels, n_conv_per_stage_decoder=[1],
        conv_bias=True, norm_op=torch.nn.InstanceNorm3d, norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=torch.nn.LeakyReLU, nonlin_kwargs={"inplace": True}, deep_supervision=False,
    )  # fmt: skip
    with torch.no_grad():  # spread the labels over the intensities
        network.decoder.seg_layers[-1].weight.mul_(8)
        network.decoder.seg_layers[-1].bias.copy_(torch.randn(n_labels))
        if favoured is not None:
            network.decoder.seg_layers[-1].bias[favoured] += 6
    return network
