"""Settings of trained models: their folds, and the options of the heatmaps and MIPs that they were trained with.

A lesion model is only valid with heatmaps drawn as in its training, a discriminator with MIPs of its size.
`settings.json` beside the models keeps both, so that whoever gets the folder cannot get them wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clickpet.clicks.heatmap_options import RELEASED_HEATMAP, HeatmapOptions
from clickpet.cohort import JOINT, TRACERS
from clickpet.errors import InputError
from clickpet.files import read_json, write_json

SETTINGS = "settings.json"
#: A lesion model a tracer, or one for all.
LESION_MODELS = (*TRACERS, JOINT)
DISCRIMINATOR = "tracer"
CHECKPOINTS = {**dict.fromkeys(LESION_MODELS, "checkpoint_final.pth"), "tracer": "checkpoint.pth"}
#: What the released weights were trained with (docs/deviations.md).
RELEASED = {
    "heatmap": RELEASED_HEATMAP.as_config(),
    "mip": {"spacing_mm": 3, "size": 224, "compat": "released"},
}


@dataclass(frozen=True)
class ModelSettings:
    """A folder of models, `{folder}/{fdg,psma,joint,tracer}/fold_{fold}/`.

    folds : of each model that is there, as text, {"fdg": ["0", "1"], "tracer": [...]};  heatmap : options of
    `HeatmapOptions`, checked;  mip : {"spacing_mm", "size", "compat"} of
    `clickpet.tracer.mip.render_mip`. None where it is not recorded.
    """

    folder: Path
    folds: Mapping[str, list[str]]
    heatmap: Mapping | None
    mip: Mapping | None

    @property
    def tracers(self) -> list[str]:
        """Tracers that have a lesion model: of their own, or that of all tracers."""
        return [tracer for tracer in TRACERS if self.lesion_model(tracer) in self.folds]

    @property
    def lesion_models(self) -> list[str]:
        """Lesion models that are there: names of their folders."""
        return [model for model in LESION_MODELS if model in self.folds]

    def lesion_model(self, tracer: str) -> str:
        """Which lesion model segments studies of `tracer`: the tracer's own where it is there, else that of all."""
        return tracer if tracer in self.folds or JOINT not in self.folds else JOINT

    def check_study(self, tracer: str) -> None:
        """InputError if a study of `tracer` ("": to be found) cannot be segmented with these models."""
        if tracer and tracer not in self.tracers:
            raise InputError(
                f"holds no model of tracer {tracer}, only of {', '.join(self.tracers)}",
                where=self.folder,
                mend="give the other models, or leave the tracer out if it may be the other one",
            )
        if not tracer and len(self.tracers) > 1 and DISCRIMINATOR not in self.folds:
            raise InputError(
                "segments studies of two tracers but holds no discriminator to tell them apart",
                where=self.folder,
                mend="name the tracer, or import a discriminator with `clickpet import-model tracer`",
            )


def read_settings(folder: str | Path) -> ModelSettings:
    """The settings of a folder of models.

    Without a settings.json (models made by hand or by an older version) the folds are those that lie there, and
    heatmap and MIP are not known. Raises InputError if there is no lesion model, if settings.json is broken, or if a
    checkpoint that it lists is missing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            "no such folder of models", where=folder, mend="give the folder that holds fdg/, psma/ or joint/"
        )
    record = read_record(folder)
    folds = record.get("folds") or folds_there(folder)
    for model, names in folds.items():
        for name in names:
            file = folder / model / f"fold_{name}" / CHECKPOINTS[model]
            if not file.is_file():
                raise InputError("no such checkpoint", where=file, mend=f"{SETTINGS} lists it: copy the models again")
    if not any(folds.get(model) for model in LESION_MODELS):
        raise InputError(
            "holds no lesion model",
            where=folder,
            mend="give the folder that holds fdg/, psma/ or joint/ (fold_0/checkpoint_final.pth, plans, dataset)",
        )
    for model in LESION_MODELS:
        for name in ("plans.json", "dataset.json") if model in folds else ():
            if not (folder / model / name).is_file():
                raise InputError("no such file", where=folder / model / name, mend="copy or import the model again")
    return ModelSettings(folder, folds, record.get("heatmap"), record.get("mip"))


def read_record(folder: str | Path) -> dict:
    """What settings.json of a folder of models says: "folds", "heatmap", "mip"; empty without one.

    Raises InputError if the file is no such record.
    """
    path = Path(folder) / SETTINGS
    if not path.is_file():
        return {}
    try:
        record = read_json(path)
        folds = record["folds"]
        good = all(
            model in CHECKPOINTS and names and all(isinstance(name, str) and name.isalnum() for name in names)
            for model, names in folds.items()
        )
        good = good and all(isinstance(record.get(name), dict | None) for name in ("heatmap", "mip"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"cannot be read ({type(error).__name__}: {error})", where=path, mend="copy the models again"
        ) from error
    if not good:
        raise InputError("is no record of models", where=path, mend="copy the models again, or remove this file")
    HeatmapOptions.from_mapping(record.get("heatmap") or {}, where=path)
    return record


def folds_there(folder: str | Path) -> dict[str, list[str]]:
    """Folds of each model that have a checkpoint in `folder`, numbers first."""
    found = {}
    for model, checkpoint in CHECKPOINTS.items():
        names = [path.parent.name.removeprefix("fold_") for path in Path(folder).glob(f"{model}/fold_*/{checkpoint}")]
        if names:
            found[model] = in_order(names)
    return found


def in_order(folds: Iterable[str]) -> list[str]:
    """Names of folds, numbers first and by their value."""
    return sorted(folds, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))


def trained_with(config: Mapping) -> dict[str, dict]:
    """Options of "heatmap" and "mip" that models of a (whole) config are trained with."""
    mip = {"spacing_mm": config["tracer"]["spacing_mm"], "size": config["tracer"]["size"], "compat": "paper"}
    return {"heatmap": dict(config["heatmap"]), "mip": mip}


def write_settings(
    folder: str | Path, folds: Mapping[str, Sequence[int | str]], *, heatmap: Mapping | None, mip: Mapping | None
) -> None:
    """Write settings.json of the models in `folder`; models without folds are left out."""
    record = {
        "folds": {model: [str(fold) for fold in names] for model, names in folds.items() if names},
        "heatmap": None if heatmap is None else dict(heatmap),
        "mip": None if mip is None else dict(mip),
    }
    write_json(Path(folder) / SETTINGS, record)
