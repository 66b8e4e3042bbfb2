"""Predictions of many cases by networks that are loaded once, kept so that a case is predicted once.

A prediction is valid as long as the key beside it is: a hash of all that it depends on. So a job that is run again,
because a case came to its bucket, clicks of one changed, or because it was killed, predicts only what is missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from clickpet.digests import recorded_digest
from clickpet.errors import InputError
from clickpet.files import content_hash, json_text, link_or_copy, read_json, replacing, replacing_folder, write_json
from clickpet.images import write_image
from clickpet.nnunet.plans import CHECKPOINT
from clickpet.predict.inference import (
    cost_text,
    member_folds,
    predict_scan,
    read_heatmap,
    read_scan,
    write_component_probabilities,
    write_disagreement,
    write_lesion_disagreement,
    write_probability,
)

#: Beside the files of a kept prediction.
KEY = "key.json"
#: Files of a model folder that say how its networks are built and fed.
PLANS = ("plans.json", "dataset.json")


@dataclass(frozen=True)
class BucketCase:
    """A case to predict: its files on the PET's grid, and the networks that may see it.

    ct, suv, heatmap : images;  tracer : as it was found;  model : folder of the lesion model;  members : its folds.
    """

    slug: str
    ct: str
    suv: str
    heatmap: str
    tracer: str
    model: Path
    members: Sequence[int | str]


def bucket_case(
    slug: str,
    *,
    split: str,
    folds: Mapping[str, Sequence[int | str]],
    models: Mapping[str, str],
    case_folds: Mapping[str, int],
    tracer: str | Path,
    **images: str,
) -> BucketCase:
    """A case with the networks of the tracer that was found: `member_folds` of its split.

    folds, models : folds and folder of the lesion model, by tracer;  case_folds : fold of each train case;  tracer :
    the file tracer.json;  images : "ct", "suv", "heatmap".
    """
    found = read_json(tracer)["tracer"]
    members = member_folds(slug, split, folds[found], case_folds)
    return BucketCase(slug, tracer=found, model=Path(models[found]), members=members, **images)


@dataclass(frozen=True)
class BucketOptions:
    """What all predictions of a job have in common.

    predict : the config's options of `predict_scan`;  calibrations : table of each lesion model, by the name of its
    folder, None without a calibration;  maps : those that are made besides the mask, of "disagreement", "probability"
    and "component_probability";  method : hash of the code that predicts.
    """

    predict: Mapping
    calibrations: Mapping | None
    maps: Sequence[str]
    method: str

    @classmethod
    def read(cls, path: str | Path) -> BucketOptions:
        """The options in a file that rule record_prediction_options wrote."""
        record = read_json(path)
        return cls(**{field.name: record[field.name] for field in fields(cls)})

    def key(self, case: BucketCase) -> str:
        """Hash (16 hex digits) of all that the prediction of a case depends on; InputError if a network is missing."""
        checkpoints = [case.model / f"fold_{fold}" / CHECKPOINT for fold in case.members]
        for path in checkpoints:
            if not path.is_file():
                raise InputError("no such checkpoint", where=path, mend="train or import this fold first")
        told = {
            "inputs": content_hash(case.ct, case.suv, case.heatmap),
            "model": [case.tracer, case.model.name, content_hash(*(case.model / name for name in PLANS))],
            "networks": [recorded_digest(path) or _state(path) for path in checkpoints],
            "members": [str(fold) for fold in case.members],
            "predict": dict(self.predict),
            "calibration": self.calibrations and self.calibrations[case.model.name],
            "maps": sorted(self.maps),
            "method": self.method,
        }
        return hashlib.sha256(json_text(told).encode()).hexdigest()[:16]


def predict_missing(
    cases: Iterable[BucketCase],
    folder: str | Path,
    options: BucketOptions,
    *,
    device: str,
    progress: Callable[[str], None] = print,
) -> dict[str, str]:
    """Predict the cases whose prediction in `folder` is missing or outdated; returns {slug: key} of all.

    folder : a folder a case with the files of rule predict_case and the key. Each network is loaded once, and only if a
    prediction by it is missing. A case that cannot be predicted holds up no other: InputError at the end tells of all.
    """
    folder, keys, failed, networks = Path(folder), {}, [], {}
    for case in cases:
        try:
            keys[case.slug] = key = options.key(case)
            if _known_key(folder / case.slug) == key:
                progress(f"{case.slug}: prediction is there already")
                continue
            with replacing_folder(folder / case.slug) as new:
                progress(f"{case.slug}: {_predict(case, new, options, device, networks)}")
                write_json(new / KEY, {"key": key})
        except InputError as error:
            progress(f"{case.slug}: {error}")
            failed.append(f"{case.slug}: {error}")
    if failed:
        raise InputError(" | ".join(failed), mend="the other cases of this job are predicted and kept")
    return keys


def _predict(case: BucketCase, folder: Path, options: BucketOptions, device: str, networks: dict) -> str:
    """Write the mask of a case, its record and the maps that are asked for into a folder; returns what it took."""

    def read_inputs():
        scan = read_scan(ct=case.ct, suv=case.suv)
        return scan, [read_heatmap(case.heatmap, scan)]

    prediction = next(
        predict_scan(
            read_inputs,
            case.model,
            case.members,
            **options.predict,
            device=device,
            networks=networks,
            calibration=options.calibrations[case.model.name] if options.calibrations else None,
            disagreement="everywhere" if "disagreement" in options.maps else "lesions",
            save_probability="probability" in options.maps,
            lesion_probability="component_probability" in options.maps,
        )
    )
    write_image(folder / "lesions_raw.nii.gz", prediction.mask, prediction.affine)
    write_lesion_disagreement(folder / "disagreement.npy", prediction)
    if "disagreement" in options.maps:
        write_disagreement(folder / "disagreement.nii.gz", prediction)
    if "probability" in options.maps:
        write_probability(folder / "probability.nii.gz", prediction)
    if "component_probability" in options.maps:
        write_component_probabilities(folder / "component_probability.npy", prediction)
    record = {"case": case.slug, "tracer": case.tracer, "model": case.model.name, **prediction.details}
    write_json(folder / "prediction.json", record)
    return cost_text(prediction.details)


def take_prediction(
    case: BucketCase, folder: str | Path, options: BucketOptions, outputs: Iterable[str | Path]
) -> None:
    """Put the kept files of a case to `outputs`, each by its name: hard links, or copies where there are none.

    Raises InputError if what is kept in `folder` is not the prediction of this case with these options.
    """
    kept = Path(folder) / case.slug
    if _known_key(kept) != options.key(case):
        raise InputError("is missing, or was made from other inputs, networks or options", where=kept)
    for output in outputs:
        with replacing(output) as temporary:
            link_or_copy(kept / Path(output).name, temporary)


def _state(checkpoint: Path) -> list[int]:
    """Size and time of a file: weights without a recorded digest are too large to be read once more for each case."""
    found = checkpoint.stat()
    return [found.st_size, found.st_mtime_ns]


def _known_key(folder: Path) -> str | None:
    record = folder / KEY
    return read_json(record).get("key") if record.is_file() else None
