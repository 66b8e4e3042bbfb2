"""Whole models in and out: into a folder of models with the settings that they must be used with, and out of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from clickpet.clicks.heatmap_options import HeatmapOptions
from clickpet.digests import IMPORT
from clickpet.errors import InputError
from clickpet.files import replacing_folder, write_json
from clickpet.models.settings import (
    CHECKPOINTS,
    DISCRIMINATOR,
    LESION_MODELS,
    RELEASED,
    SETTINGS,
    folds_there,
    in_order,
    read_record,
    trained_with,
    write_settings,
)

#: What was imported, beside the model.
REPORT = IMPORT
_TRACER_FILES = (".pth", ".pt", ".ckpt")


def add_model(
    kind: str,
    source: str | Path,
    models: str | Path,
    *,
    folds: Sequence[str] | None = None,
    shown: Mapping | None = None,
    replace: bool = False,
) -> dict:
    """Import a model as `models`/{kind} and refresh `models`/settings.json.

    kind : "fdg" or "psma" (nnU-Net model folder, see `import_lesion_model`) or "tracer" (a file, or a folder of
    files or of fold_{fold}/checkpoint.pth).  source : that, or a folder of models that holds it.  folds : which
    (None: all that are there).  shown : {"heatmap", "mip"} as in the model's training (None: what the settings.json
    in the model's folder or beside it says, else RELEASED).  replace : take the place of a model of this kind.

    Returns the report of the import, also written as `models`/{kind}/import.json, with "shown" (the settings) and
    "settings_from": "given", "settings.json" or, where none was found, "assumed" (RELEASED). Raises
    InputError for a file that is refused, a model that is there already, or settings that another model of the
    folder contradicts; `models` stays as it was then.
    """
    models, source = Path(models), _of_kind(kind, Path(source))
    target = models / kind
    if target.exists() and target.resolve() == source.resolve():
        raise InputError("is the model itself", where=source, mend="import into another folder of models")
    _refuse_to_replace(target, replace)
    record = read_record(models)
    there = record.get("folds") or folds_there(models)
    recorded = None if shown else _settings_of(source)
    settings_from = "given" if shown else SETTINGS if recorded else "assumed"
    shown = shown or recorded or RELEASED
    settled = _settled(kind, {name: record.get(name) for name in RELEASED}, there, shown, models)
    bring = _bring_discriminator if kind == DISCRIMINATOR else _bring_lesion_model
    with replacing_folder(target) as staging:
        report = {**bring(source, staging, folds), "shown": settled, "settings_from": settings_from}
        write_json(staging / REPORT, report)
    write_settings(models, {**there, kind: list(report["folds"])}, **settled)
    return report


def add_pretrained(source: str | Path, models: str | Path, *, fold: str | None = None, replace: bool = False) -> dict:
    """Import a model of CT and PET as `models`/pretrained.pth, to be named as `train.pretrained`.

    source : nnU-Net model folder, of which `fold` (None: the first) is taken, or one of its checkpoints.
    Returns a report with "file" and, of the network that would start from it, the tensors "copied", "widened" (the
    click channel zero), "new" and "skipped". Raises InputError as `add_model`.
    """
    from clickpet.models.importing import CANDIDATES, import_pretrained

    source, target = Path(source), Path(models) / "pretrained.pth"
    _refuse_to_replace(target, replace)
    if source.is_dir():
        source = source / f"fold_{fold or _chosen(_lesion_folds(source, CANDIDATES), None, source)[0]}"
    return import_pretrained(source, target)


def export_lesion_model(
    source: str | Path, target: str | Path, *, folds: Sequence[str] | None = None, replace: bool = False
) -> dict:
    """`clickpet.models.exporting.export_model` of `folds` (None: all that are there), whole or not at all.

    The settings of the model go with it, as settings.json in the folder, so that `add_model` brings it back as it was;
    "settings" of the report says whether they were known.
    """
    from clickpet.models.exporting import export_model
    from clickpet.models.importing import CANDIDATES

    source, target = Path(source), Path(target)
    if target.exists() and target.resolve() == source.resolve():
        raise InputError("is the model itself", where=source, mend="export into another folder")
    if target.exists() and not (target / "plans.json").is_file():
        raise InputError("is there and no model", where=target, mend="give a folder that is not there yet")
    _refuse_to_replace(target, replace)
    there = _lesion_folds(source, CANDIDATES[:1])
    with replacing_folder(target) as staging:
        report = export_model(source, staging, folds=_chosen(there, folds, source))
        if shown := _settings_of(source):
            write_settings(staging, {}, **shown)
        return {**report, "settings": shown is not None}


def shown_as(name: str) -> dict:
    """Settings by name: "released", "paper", or the path of the config (YAML) that the models were trained with."""
    from clickpet.config import ConfigError, read_config, resolve

    if name == "released":
        return RELEASED
    config = {} if name == "paper" else read_config(name)
    try:
        return trained_with(resolve({"cohort": "none", **config}))
    except ConfigError as error:
        raise InputError(" | ".join(str(error).splitlines()), where=name) from error


def _refuse_to_replace(target: Path, replace: bool) -> None:
    if target.exists() and not replace:
        raise InputError("is there already", where=target, mend="give --force to replace it")


def _of_kind(kind: str, source: Path) -> Path:
    """The model in `source`, which may also be the folder of models that holds it."""
    if kind not in CHECKPOINTS:
        raise InputError(f"{kind!r} is no kind of model", mend=f"give one of {', '.join(CHECKPOINTS)}")
    if not source.exists():
        raise InputError("no such file or folder", where=source, mend="correct the path of the model")
    inner = source / kind
    return inner if inner.is_dir() and not (source / "plans.json").is_file() else source


def _settings_of(source: Path) -> dict | None:
    """What the settings.json in an exported model's folder, or beside a trained model, says."""
    folder = source if source.is_dir() and (source / SETTINGS).is_file() else source.parent
    record = read_record(folder)
    return {name: record[name] for name in RELEASED} if all(record.get(name) for name in RELEASED) else None


def _settled(kind: str, recorded: Mapping, there: Mapping, shown: Mapping, models: Path) -> dict:
    """Heatmap and MIP settings of the folder once `kind` is in it: one for all lesion models, one discriminator's."""
    part, partners = ("mip", ()) if kind == DISCRIMINATOR else ("heatmap", LESION_MODELS)
    others = [other for other in partners if other in there and other != kind]
    known, wanted = (_with_defaults(part, settings[part] or {}) for settings in (recorded, shown))
    if others and known != wanted:
        keys = sorted(key for key in {*known, *wanted} if known.get(key) != wanted.get(key))
        how = f"other heatmaps ({', '.join(keys)})" if known else f"heatmaps that no {SETTINGS} tells"
        raise InputError(
            f"its {others[0]} model was trained with {how}",
            where=models,
            mend="import into another folder, or say with --settings how this model was trained",
        )
    bound = {"heatmap": LESION_MODELS, "mip": (DISCRIMINATOR,)}
    kept = {name for name in bound if name != part and any(model in there for model in bound[name])}
    return {name: recorded[name] if name in kept else dict(shown[name]) for name in bound}


def _with_defaults(part: str, options: Mapping) -> dict:
    """Options of the heatmap with those that an older version did not know; of MIPs as they are."""
    filled = HeatmapOptions.from_mapping(options).as_config() if part == "heatmap" and options else {}
    return filled | dict(options)


def _bring_lesion_model(source: Path, target: Path, folds: Sequence[str] | None) -> dict:
    from clickpet.models.importing import CANDIDATES, import_lesion_model

    return import_lesion_model(source, target, folds=_chosen(_lesion_folds(source, CANDIDATES), folds, source))


def _lesion_folds(source: Path, names: Sequence[str]) -> list[str]:
    files = [path for name in names for path in source.glob(f"fold_*/{name}")]
    return in_order({path.parent.name.removeprefix("fold_") for path in files})


def _bring_discriminator(source: Path, target: Path, folds: Sequence[str] | None) -> dict:
    from clickpet.models.importing import import_tracer_models

    files = _discriminator_files(source)
    return import_tracer_models({fold: files[fold] for fold in _chosen(list(files), folds, source)}, target)


def _discriminator_files(source: Path) -> dict[str, Path]:
    """Files by fold: by the number after "fold" in their path if all have one of their own, else in their order."""
    if source.is_file():
        return {"0": source}
    found = sorted(source.glob(f"fold_*/{CHECKPOINTS[DISCRIMINATOR]}")) or sorted(
        path for path in source.iterdir() if path.suffix in _TRACER_FILES and not path.name.startswith(".")
    )
    numbers = [re.search(r"fold[_-]?(\d+|all)", str(path.relative_to(source)), re.I) for path in found]
    names = [number[1] for number in numbers if number]
    if len(set(names)) != len(found):
        names = [str(place) for place in range(len(found))]
    by_name = dict(zip(names, found, strict=True))
    return {name: by_name[name] for name in in_order(by_name)}


def _chosen(there: Sequence[str], folds: Sequence[str] | None, source: Path) -> list[str]:
    if not there:
        raise InputError(
            "holds no checkpoint",
            where=source,
            mend="give a folder with plans.json and fold_0/checkpoint_final.pth, or for a discriminator its file",
        )
    absent = [fold for fold in folds or () if fold not in there]
    if absent:
        raise InputError(
            f"holds no fold {', '.join(absent)}", where=source, mend=f"give --folds out of {', '.join(there)}"
        )
    return list(folds or there)
