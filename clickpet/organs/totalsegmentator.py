"""Organs on CT by TotalSegmentator 2.18, without its command line: models are loaded once for many cases.

`totalsegmentator()` loads every model for every image and starts processes for each. Here the steps of its
`nnUNet_predict_image` are taken with its own functions and tables (tasks, class names, canonical orientation,
spacing, cropping to the skull, tile steps), and the networks are kept. The label maps are the same, which a test
shows. Nothing is downloaded and no usage statistics are sent: the functions that do so are never called.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clickpet.devices import choose_device, require_gpu
from clickpet.errors import InputError
from clickpet.images import Image, resample, same_grid
from clickpet.organs.labels import ORGAN_CLASSES, organ_values, relabel_organs
from clickpet.weights_lock import LOCK, check_locked

#: Whole body, and the glands of the head, which `total` does not know.
TASKS = ("total", "head_glands_cavities")
RELEASES = "https://github.com/wasserth/TotalSegmentator/releases/download"
CHECKPOINT = "checkpoint_final.pth"
#: TotalSegmentator crops by a rough 6 mm segmentation and leaves this much around it.
CROP_MARGIN_MM = (20, 20, 20)
#: Tile steps of its `nnUNet_predict_image`.
TILE_STEP = {"total": 0.8}
OTHER_TILE_STEP = 0.5
#: Above this many voxels it predicts `total` at 1.5 mm in three parts along z, to save memory.
PARTS_ABOVE_VOXELS = 512 * 512 * 900
PARTS_MIN_SLICES = 200
PARTS_MARGIN_VOX = 20


@dataclass(frozen=True)
class Model:
    """One network of TotalSegmentator.

    folder : of its dataset, also the name of its archive;  configuration : folder of the trained model in it;
    names : {label: class};  spacing_mm : (x, y, z) it works at;  tile_step : share of a patch;  url : of its archive.
    """

    task_id: int
    folder: str
    configuration: str
    names: tuple[tuple[int, str], ...]
    spacing_mm: tuple[float, float, float]
    tile_step: float
    fold: int
    url: str

    def path(self, weights: Path) -> Path:
        """The nnU-Net model folder below `weights`."""
        return weights / self.folder / self.configuration


@dataclass(frozen=True)
class Task:
    """A task of TotalSegmentator: its models, and the classes that it is cropped to before (none: no cropping).

    names : {label: class} of the whole task.
    """

    name: str
    models: tuple[Model, ...]
    names: tuple[tuple[int, str], ...]
    crop_to: tuple[str, ...] = ()
    crop_model: Model | None = None


def find_task(name: str, *, fast: bool = False, classes: Iterable[str] | None = None) -> Task:
    """What TotalSegmentator's own tables say of a task.

    fast : its 3 mm models, for tasks that have such;  classes : class names that are wanted: models that know none
    of them are left out.  Raises InputError for a task that is unknown, needs a licence or is not made for CT.
    """
    from totalsegmentator.map_tasks_config import DEFAULT_CONFIG, TASK_CONFIGS
    from totalsegmentator.map_to_binary import class_map, class_map_5_parts, map_taskid_to_partname_ct
    from totalsegmentator.registry import requires_license, task_modality

    if name not in TASK_CONFIGS or name not in class_map:
        raise InputError(f"TotalSegmentator has no task {name!r}", mend=f"give tasks such as {', '.join(TASKS)}")
    if requires_license(name) or task_modality(name) != "CT":
        raise InputError(f"the task {name!r} needs a licence or is not for CT", mend=f"give {', '.join(TASKS)}")
    settings = _settings(DEFAULT_CONFIG, TASK_CONFIGS[name], fast)
    names = tuple(class_map[name].items())
    task_ids = settings["task_id"]
    if isinstance(task_ids, list):
        if name != "total":
            raise InputError(f"the task {name!r} of several models is not supported", mend=f"give {', '.join(TASKS)}")
        parts = {task_id: tuple(class_map_5_parts[map_taskid_to_partname_ct[task_id]].items()) for task_id in task_ids}
    else:
        parts = {task_ids: names}
    wanted = None if classes is None else set(classes)
    models = tuple(
        _model(name, task_id, part, settings)
        for task_id, part in parts.items()
        if wanted is None or wanted & {text for _, text in part}
    )
    crop_model = None
    if settings["crop"]:
        if settings["crop_model"] or settings["robust_crop"] or settings["cascade"]:
            raise InputError(f"the task {name!r} crops in an unsupported way", mend=f"give {', '.join(TASKS)}")
        rough = {**DEFAULT_CONFIG, **TASK_CONFIGS["total"]["sub_modes"]["fastest"]}
        crop_model = _model("total", rough["task_id"], tuple(class_map["total"].items()), rough)
    return Task(name, models, names, tuple(settings["crop"] or ()), crop_model)


def _settings(defaults: dict, of_task: dict, fast: bool) -> dict:
    if "sub_modes" in of_task:
        return {**defaults, **of_task["sub_modes"]["fast" if fast else "default"]}
    return {**defaults, **of_task}


def _model(task: str, task_id: int, names: tuple[tuple[int, str], ...], settings: dict) -> Model:
    from totalsegmentator.map_tasks_config import TASK_ID_WEIGHTS_CONFIGS

    release = TASK_ID_WEIGHTS_CONFIGS[task_id]
    spacing = settings["resample"]
    return Model(
        task_id=task_id,
        folder=release["foldername"],
        configuration=f"{settings['trainer']}__{settings['plans'] or 'nnUNetPlans'}__{settings['model']}",
        names=names,
        spacing_mm=tuple(spacing) if isinstance(spacing, list) else (spacing,) * 3,
        tile_step=TILE_STEP.get(task, OTHER_TILE_STEP),
        fold=settings["folds"][0],
        url=f"{RELEASES}/{release['version']}/{release['foldername']}.zip",
    )


def needed_models(tasks: Sequence[Task]) -> list[Model]:
    """The models of `tasks` and of their cropping, each once."""
    models = [model for task in tasks for model in (*task.models, *([task.crop_model] if task.crop_model else []))]
    return list({model.task_id: model for model in models}.values())


def weights_folder(given: str | Path | None = None) -> Path:
    """The folder of the `Dataset...` folders: `given` (or its nnunet/results), else where TotalSegmentator looks.

    That is TOTALSEG_WEIGHTS_PATH, nnunet/results in TOTALSEG_HOME_DIR, or in ~/.totalsegmentator. Makes nothing.
    """
    if given is None:
        if "TOTALSEG_WEIGHTS_PATH" in os.environ:
            return Path(os.environ["TOTALSEG_WEIGHTS_PATH"])
        given = os.environ.get("TOTALSEG_HOME_DIR") or Path.home() / ".totalsegmentator"
        return Path(given) / "nnunet" / "results"
    given = Path(given).expanduser()
    inner = given / "nnunet" / "results"
    return inner if inner.is_dir() else given


def require_weights(models: Iterable[Model], weights: Path) -> None:
    """Raise InputError that names every model whose files are not below `weights`."""
    missing = [
        model.folder
        for model in models
        if not all(
            (model.path(weights) / name).is_file()
            for name in ("plans.json", "dataset.json", f"fold_{model.fold}/{CHECKPOINT}")
        )
    ]
    if missing:
        raise InputError(
            f"TotalSegmentator's weights are missing: {', '.join(missing)}",
            where=weights,
            mend="run `clickpet fetch-weights organs` where there is internet, copy its folder here and set "
            "organs.weights, or set organs.provider to given or none",
        )


def find_weights(
    *,
    organs: Mapping[str, Sequence[str]] = ORGAN_CLASSES,
    tasks: Sequence[str] = TASKS,
    fast: bool = False,
    weights: str | Path | None = None,
) -> list[str]:
    """Names of the model folders that these organs need; InputError where one is missing. Loads no network."""
    wanted = {name for names in organs.values() for name in names}
    models = needed_models(
        [task for task in (find_task(name, fast=fast, classes=wanted) for name in tasks) if task.models]
    )
    require_weights(models, weights_folder(weights))
    return [model.folder for model in models]


class OrganSegmenter:
    """TotalSegmentator's models, loaded when they are first needed and kept for all images.

    organs : {organ: TotalSegmentator's class names}; models that know none of them are left out;  tasks : names of
    tasks;  fast : 3 mm models where there are;  device : "auto", "cpu", "cuda" or "cuda:N";  weights : as
    `weights_folder` takes it.

    Raises InputError where weights are missing and for a class name that no task has, before anything heavy is
    loaded. Uses as many threads as torch is allowed to (`torch.set_num_threads`).
    """

    def __init__(
        self,
        *,
        organs: Mapping[str, Sequence[str]] = ORGAN_CLASSES,
        tasks: Sequence[str] = TASKS,
        fast: bool = False,
        device: str = "auto",
        weights: str | Path | None = None,
    ):
        self.numbers = {name: value for organ, value in organ_values(organs).items() for name in organs[organ]}
        found = [find_task(name, fast=fast, classes=self.numbers) for name in tasks]
        unknown = sorted(set(self.numbers) - {name for task in found for _, name in task.names})
        if unknown:
            what = f"TotalSegmentator's tasks {', '.join(tasks)} have no class {', '.join(unknown)}"
            raise InputError(what, mend="correct the table of organs, or add the task that has it")
        self.tasks = [task for task in found if task.models]
        self.weights = weights_folder(weights)
        require_weights(needed_models(self.tasks), self.weights)
        self.device = _torch_device(device)
        self._predictors: dict[int, object] = {}

    def organ_map(self, ct: Image) -> np.ndarray:
        """Organs of one CT: uint8 (x, y, z) on its grid, 0 background, organs 2, 3, ... in the order of the table.

        Where two tasks claim a voxel, the later one wins: the glands of the head over `total`.
        """
        merged = np.zeros(ct.shape, np.uint8)
        for labels, names in self.label_maps(ct):
            found = relabel_organs(labels, {label: self.numbers.get(name, 0) for label, name in names.items()})
            np.copyto(merged, found, where=found != 0)
        return merged

    def organ_map_on(self, ct: Image, shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
        """`organ_map` brought to the grid (`shape`, `affine`) by the nearest voxel."""
        organs = self.organ_map(ct)
        if same_grid(ct.shape, ct.affine, shape, affine):
            return organs
        return resample(Image(organs, ct.affine), shape, affine, order="nearest")

    def label_maps(self, ct: Image) -> Iterator[tuple[np.ndarray, dict[int, str]]]:
        """Give for each task its label map (uint8, on the CT's grid) and {label: class name}.

        ct : HU (x, y, z) with any orientation and spacing.
        """
        import nibabel as nib

        # TotalSegmentator's steps expect float64, as get_fdata() gives it
        image = nib.Nifti1Image(np.asarray(ct.array, np.float64), ct.affine)
        rough: dict[int, np.ndarray] = {}
        for task in self.tasks:
            if not task.crop_model:
                yield self._segment(image, task.models, task.names), dict(task.names)
                continue
            if task.crop_model.task_id not in rough:
                rough[task.crop_model.task_id] = self._segment(image, (task.crop_model,), task.crop_model.names)
            labels = [label for label, name in task.crop_model.names if name in task.crop_to]
            region = np.isin(rough[task.crop_model.task_id], labels)
            yield self._segment_inside(image, region, task), dict(task.names)

    def _segment_inside(self, image, region: np.ndarray, task: Task) -> np.ndarray:
        import nibabel as nib
        from totalsegmentator.cropping import crop_to_mask, undo_crop

        if not region.any():
            return np.zeros(image.shape, np.uint8)
        mask = nib.Nifti1Image(region.astype(np.uint8), image.affine)
        cropped, box = crop_to_mask(image, mask, addon=CROP_MARGIN_MM, dtype=np.int32)
        labels = self._segment(cropped, task.models, task.names)
        whole = undo_crop(nib.Nifti1Image(labels, cropped.affine), image, box)
        return np.asanyarray(whole.dataobj).astype(np.uint8)

    def _segment(self, image, models: Sequence[Model], names: Sequence[tuple[int, str]]) -> np.ndarray:
        """Label map (uint8) on the grid of `image` from one model, or from several that share the classes out."""
        from totalsegmentator.alignment import as_closest_canonical, undo_canonical
        from totalsegmentator.resampling import change_spacing

        upright = as_closest_canonical(image)
        spacing = list(models[0].spacing_mm)
        scaled = change_spacing(upright, spacing, order=1, dtype=np.int32, nr_cpus=1)
        label_of = {name: label for label, name in names}
        volume = np.asanyarray(scaled.dataobj)
        combined = np.zeros(volume.shape, np.uint8)
        for model in models:
            own = _predict_in_parts(self._predictor(model), volume, scaled.header.get_zooms(), len(models) > 1)
            table = np.zeros(256, np.uint8)
            for label, name in model.names:
                table[label] = label_of[name]
            found = table[own]
            np.copyto(combined, found, where=found != 0)
        back = change_spacing(
            type(image)(combined, scaled.affine), spacing, upright.shape, order=0, dtype=np.uint8, nr_cpus=1,
            force_affine=upright.affine,
        )  # fmt: skip
        return np.asanyarray(undo_canonical(back, image).dataobj).astype(np.uint8)

    def _predictor(self, model: Model):
        if model.task_id not in self._predictors:
            self._predictors[model.task_id] = _load_predictor(model, self.weights, self.device)
        return self._predictors[model.task_id]


def _torch_device(device: str):
    import torch

    if device == "auto":
        device = choose_device()
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"device {device!r} is not known", mend="give auto, cpu, cuda or cuda:N") from error
    if found.type == "cuda":
        require_gpu(found.index)
    return found


def _load_predictor(model: Model, weights: Path, device):
    """nnU-Net's predictor with the weights of `model`, as TotalSegmentator sets it up (no mirroring)."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from clickpet.files import read_json
    from clickpet.nnunet.model_folder import check_network_parts, load_checkpoint, network_weights

    folder = model.path(weights)
    path = folder / f"fold_{model.fold}" / CHECKPOINT
    if not check_locked(weights, model.folder, [folder / "plans.json", folder / "dataset.json", path]):
        print(f"{model.folder}: not in {LOCK}, no checksums to compare with")
    try:
        dataset = read_json(folder / "dataset.json")
        plans = PlansManager(read_json(folder / "plans.json"))
        configuration = plans.get_configuration(model.configuration.rsplit("__", 1)[1])
        heads = plans.get_label_manager(dataset).num_segmentation_heads
        channels = len(dataset.get("channel_names") or dataset["modality"])
        check_network_parts(configuration, where=folder / "plans.json")
        network = get_network_from_plans(
            configuration.network_arch_class_name,
            configuration.network_arch_init_kwargs,
            configuration.network_arch_init_kwargs_req_import,
            channels,
            heads,
            deep_supervision=False,
        )
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, AssertionError, ImportError) as error:
        raise InputError(
            f"is not a model of TotalSegmentator ({type(error).__name__}: {error})", where=folder, mend="fetch it again"
        ) from error
    if heads != max(label for label, _ in model.names) + 1:
        raise InputError(
            f"tells {heads - 1} classes apart, not the {len(model.names)} of TotalSegmentator's table",
            where=folder,
            mend="fetch the weights that belong to the installed TotalSegmentator",
        )
    state = network_weights(load_checkpoint(path), where=path)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"does not fit its plans ({str(error)[:160]})", where=path, mend="fetch it again") from error
    predictor = nnUNetPredictor(
        tile_step_size=model.tile_step, use_gaussian=True, use_mirroring=False, device=device,
        perform_everything_on_device=device.type == "cuda", allow_tqdm=False,
    )  # fmt: skip
    trainer = model.configuration.split("__", 1)[0]
    predictor.manual_initialization(network.eval(), plans, configuration, [state], dataset, trainer, None)
    return predictor


def _predict_in_parts(predictor, volume: np.ndarray, zooms: Sequence[float], may_split: bool) -> np.ndarray:
    """Labels (x, y, z) of one model; very large volumes in three parts along z that overlap by the margin."""
    depth = volume.shape[2]
    if not may_split or volume.size <= PARTS_ABOVE_VOXELS or depth <= PARTS_MIN_SLICES:
        return _predict(predictor, volume, zooms)
    third, margin = depth // 3, PARTS_MARGIN_VOX
    labels = np.empty(volume.shape, np.uint8)
    labels[:, :, :third] = _predict(predictor, volume[:, :, : third + margin], zooms)[:, :, :-margin]
    middle = _predict(predictor, volume[:, :, third + 1 - margin : third * 2 + margin], zooms)
    labels[:, :, third : third * 2] = middle[:, :, margin - 1 : -margin]
    labels[:, :, third * 2 :] = _predict(predictor, volume[:, :, third * 2 + 1 - margin :], zooms)[:, :, margin - 1 :]
    return labels


def _predict(predictor, volume: np.ndarray, zooms: Sequence[float]) -> np.ndarray:
    """nnU-Net on one volume (x, y, z); nnU-Net itself counts z, y, x."""
    image = np.ascontiguousarray(volume.transpose(2, 1, 0)[None], dtype=np.float32)
    properties = {"spacing": [float(edge) for edge in zooms[::-1]]}
    return np.asarray(predictor.predict_single_npy_array(image, properties)).astype(np.uint8).transpose(2, 1, 0)
