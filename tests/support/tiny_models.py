"""Small nnU-Net model folders with random weights, made the way nnU-Net writes them."""

from __future__ import annotations

import json
from pathlib import Path

import torch

torch.set_num_threads(1)  # tiny tiles: threads would only wait for each other
RESENC = "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet"
CHANNELS = {"0": "CT", "1": "CT", "2": "noNorm"}
INTENSITIES = {"mean": 2.0, "std": 30.0, "percentile_00_5": -900.0, "percentile_99_5": 1200.0}
SUV_INTENSITIES = {"mean": 1.0, "std": 2.0, "percentile_00_5": 0.0, "percentile_99_5": 30.0}


def plans(*, spacing_zyx=(3.0, 2.0, 2.0), patch=(16, 16, 16), network=RESENC, features=(4, 8), **arch) -> dict:
    """plans.json of a tiny 3-D model."""
    stages = len(features)
    data, labels = (
        {"is_seg": kind, "order": order, "order_z": 0, "force_separate_z": None}
        for kind, order in ((False, 3), (True, 1))
    )
    configuration = {
        "data_identifier": "clickpet_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": list(patch),
        "median_image_size_in_voxels": [40, 40, 40],
        "spacing": list(spacing_zyx),
        "normalization_schemes": ["CTNormalization", "CTNormalization", "NoNormalization"],
        "use_mask_for_norm": [False, False, False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": data,
        "resampling_fn_seg_kwargs": labels,
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {**data, "order": 1},
        "architecture": {
            "network_class_name": network,
            "arch_kwargs": {
                "n_stages": stages,
                "features_per_stage": list(features),
                "conv_op": "torch.nn.modules.conv.Conv3d",
                "kernel_sizes": [[3, 3, 3]] * stages,
                "strides": [[1, 1, 1]] + [[2, 2, 2]] * (stages - 1),
                "n_blocks_per_stage": [1] * stages,
                "n_conv_per_stage_decoder": [1] * (stages - 1),
                "conv_bias": True,
                "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                "norm_op_kwargs": {"eps": 1e-05, "affine": True},
                "dropout_op": None,
                "dropout_op_kwargs": None,
                "nonlin": "torch.nn.LeakyReLU",
                "nonlin_kwargs": {"inplace": True},
                **arch,
            },
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        "batch_dice": False,
    }
    return {
        "dataset_name": "Dataset001_tiny",
        "plans_name": "tinyPlans",
        "original_median_spacing_after_transp": list(spacing_zyx),
        "original_median_shape_after_transp": [40, 40, 40],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"3d_fullres": configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            "0": INTENSITIES,
            "1": SUV_INTENSITIES,
            "2": {"mean": 0.0, "std": 1.0, "percentile_00_5": -1.0, "percentile_99_5": 1.0},
        },
    }


def dataset(channels=CHANNELS) -> dict:
    """dataset.json: background and lesion."""
    return {
        "channel_names": channels,
        "labels": {"background": 0, "lesion": 1},
        "numTraining": 2,
        "file_ending": ".nii.gz",
    }


def with_previous_mask(folder: Path) -> Path:
    """A model folder by `write_model` with four channels, made one whose fourth is the mask of the round before."""
    the_plans, the_dataset = (json.loads((folder / f"{name}.json").read_text()) for name in ("plans", "dataset"))
    configuration = the_plans["configurations"]["3d_fullres"]
    for key in ("normalization_schemes", "use_mask_for_norm"):
        configuration[key].append(configuration[key][-1])
    intensities = the_plans["foreground_intensity_properties_per_channel"]
    intensities["3"] = intensities["2"]
    the_dataset["previous_mask"] = True
    (folder / "plans.json").write_text(json.dumps(the_plans))
    (folder / "dataset.json").write_text(json.dumps(the_dataset))
    return folder


def write_model(folder: Path, folds=(0,), *, seed: int = 0, channels=CHANNELS, scale: float = 1.0, **options) -> Path:
    """A model folder with random weights; logits are blown up by `scale`."""
    from clickpet.nnunet.model_folder import build_network, read_model_folder

    folder.mkdir(parents=True, exist_ok=True)
    the_plans, the_dataset = plans(**options), dataset(channels)
    (folder / "plans.json").write_text(json.dumps(the_plans))
    (folder / "dataset.json").write_text(json.dumps(the_dataset))
    model = read_model_folder(folder)
    for index, fold in enumerate(folds):
        with torch.random.fork_rng():
            torch.manual_seed(1000 * seed + index)
            network = build_network(model)
            for name, parameter in network.named_parameters():
                if name.endswith(("norm.weight", "norm.bias")):
                    parameter.data += 0.3 * torch.randn_like(parameter)
                if "seg_layers" in name:  # no bias and balanced weights, so that both labels win somewhere
                    weight = torch.randn_like(parameter)
                    parameter.data = scale * (weight - weight.mean(1, keepdim=True)) if weight.ndim > 1 else 0 * weight
        path = model.checkpoint(fold)
        path.parent.mkdir(exist_ok=True)
        torch.save(checkpoint(network.state_dict(), the_plans, the_dataset, fold), path)
    return folder


def checkpoint(weights, the_plans, the_dataset, fold=0) -> dict:
    """What nnU-Net 2.8 saves, NumPy scalars in its log included."""
    import numpy as np

    return {
        "network_weights": weights,
        "optimizer_state": {"state": {}, "param_groups": [{"lr": 0.01, "params": [0, 1]}]},
        "grad_scaler_state": None,
        "logging": {"mean_fg_dice": [np.float64(0.5)], "dice_per_class_or_region": [[np.float32(0.5)]], "lrs": [0.01]},
        "_best_ema": np.float64(0.5),
        "current_epoch": 1,
        "init_args": {
            "plans": the_plans,
            "configuration": "3d_fullres",
            "fold": fold,
            "dataset_json": the_dataset,
            "device": torch.device("cpu"),
        },
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1, 2),
    }
