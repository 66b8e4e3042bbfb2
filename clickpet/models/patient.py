"""One patient segmented in this process by a folder of models, with the masks that the workflow's rules give."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clickpet.clicks.heatmap import draw_heatmap
from clickpet.clicks.heatmap_options import HeatmapOptions
from clickpet.clicks.model import Clicks
from clickpet.config import ConfigError, read_config, resolve
from clickpet.errors import InputError
from clickpet.evaluate.lesion_table import measure_lesions, measure_study, over_mask
from clickpet.ingest.petct import PetCt
from clickpet.models.settings import CHECKPOINTS, DISCRIMINATOR, ModelSettings, read_settings, trained_with
from clickpet.postprocess.final_mask import post_process
from clickpet.postprocess.options import PostprocessOptions
from clickpet.predict.inference import NOT_OF_INFERENCE, component_probabilities, predict_scan
from clickpet.tracer.mip import render_mip
from clickpet.tracer.network import load_discriminator
from clickpet.tracer.voting import find_tracer

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TracerDecision:
    """Tracer of a study and how it is known.

    tracer : "fdg" or "psma";  source : "found" (by the discriminator), "given" or "only" (the models know one tracer);
    probability_psma : of each fold of the discriminator, and votes : {tracer: folds}; both empty unless "found".
    """

    tracer: str
    source: str
    probability_psma: tuple[float, ...] = ()
    votes: Mapping[str, int] | None = None


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Lesions of one study.

    mask : bool (x, y, z), final lesion mask;  affine : (4, 4), of its grid, the PET's;  raw_mask : bool (x, y, z),
    before post-processing;  heatmap : float32 (x, y, z), -1 to 1, that the network was shown;  tracer : whose models
    were used;  lesions : a row for each lesion of `mask` (columns: `measure_lesions`);  totals : of the study
    (`measure_study`);  details : of the prediction (`predict_scan`: members, mirrored axes, tiles, seconds, ...);
    disagreement : float32 (x, y, z), of the folds in `raw_mask`, 0 elsewhere; None where one fold predicted.
    probability : float16 (x, y, z), lesion probability of the ensemble; None unless predict.save_probability.
    """

    mask: np.ndarray
    affine: np.ndarray
    raw_mask: np.ndarray
    heatmap: np.ndarray
    tracer: TracerDecision
    lesions: pd.DataFrame
    totals: dict[str, float | int]
    details: dict
    disagreement: np.ndarray | None
    probability: np.ndarray | None = None


def segment_patient(
    study: PetCt,
    clicks: Clicks | None = None,
    *,
    models: str | Path,
    tracer: str = "",
    config: Mapping | str | Path | None = None,
    calibration: dict | None = None,
    device: str | None = None,
) -> Segmentation:
    """Segment the lesions of one study: the mask of `clickpet predict`, without Snakemake and without files.

    study : CT and PET on one grid (`read_study`);  clicks : on that grid (None: no clicks);  models : folder with fdg/,
    psma/, tracer/ (docs/new-patients.md), whose settings.json decides how heatmap and MIP are made;  tracer : "fdg" or
    "psma" ("": the discriminator finds it);  config : keys that differ from config/config.yaml, such as
    {"predict": {"tile_step": 0.8}}, or a YAML file of them;  calibration : of `clickpet.predict.calibrate.calibrate`
    for this model, needed with predict.mirroring "budget";  device : "cpu" or "cuda" (None: a GPU if there is one).

    On a CPU the mask is that of the workflow bit for bit at the same number of threads (`torch.set_num_threads`).
    Raises InputError, one line, for models, clicks or config that cannot be used.
    """
    settings = read_settings(models)
    settings.check_study(tracer)
    config = resolved_config(config)
    postprocessing = PostprocessOptions.from_mapping(config["postprocess"])
    clicks = Clicks.empty() if clicks is None else clicks
    if settings.heatmap is None:
        warnings.warn(f"{settings.folder} has no settings.json: taking the config's heatmap and MIPs", stacklevel=2)
    decision = decide_tracer(study, settings, tracer, config)
    model = settings.lesion_model(decision.tracer)
    heatmap = draw_heatmap(
        study.suv,
        clicks,
        HeatmapOptions.from_mapping(settings.heatmap or config["heatmap"]),
        affine=study.affine,
    )
    options = {name: value for name, value in config["predict"].items() if name not in NOT_OF_INFERENCE}
    prediction = next(
        predict_scan(
            lambda: (study, [heatmap]),
            settings.folder / model,
            settings.folds[model],
            **options,
            calibration=calibration,
            device=device,
            disagreement="lesions",
            save_probability=config["predict"]["save_probability"],
            lesion_probability=postprocessing.needs_probability,
        )
    )
    mask = post_process(
        prediction.mask,
        study.suv,
        study.affine,
        postprocessing,
        clicks=clicks,
        probability=component_probabilities(prediction) if postprocessing.needs_probability else None,
    ).mask
    spread = prediction.disagreement
    if spread is None:
        spread = over_mask(prediction.mask, np.empty(0, np.float32))
    lesions = measure_lesions(mask, study.suv, study.affine, disagreement=spread)
    return Segmentation(
        mask=mask,
        affine=study.affine,
        raw_mask=prediction.mask != 0,
        heatmap=heatmap,
        tracer=decision,
        lesions=lesions,
        totals=measure_study(lesions),
        details=prediction.details,
        disagreement=prediction.disagreement,
        probability=prediction.probability if config["predict"]["save_probability"] else None,
    )


def identify_tracer(
    study: PetCt, *, models: str | Path, tracer: str = "", config: Mapping | str | Path | None = None
) -> TracerDecision:
    """Tracer of a study by the majority of all folds of the discriminator in `models`, as rule find_tracer does.

    Arguments are those of `segment_patient`. Raises InputError for models or config that cannot be used.
    """
    settings = read_settings(models)
    settings.check_study(tracer)
    return decide_tracer(study, settings, tracer, resolved_config(config))


def decide_tracer(
    study: PetCt, settings: ModelSettings, given: str, config: Mapping, weights: Sequence[Mapping] | None = None
) -> TracerDecision:
    """Tracer of a study: the only one that `settings` have models of, the `given` one, or what the discriminator finds.

    config : whole, for MIPs that the settings do not describe;  weights : of all folds of the discriminator (None: they
    are read if they are needed).
    """
    if len(settings.tracers) == 1:
        return TracerDecision(settings.tracers[0], "only")
    if given:
        return TracerDecision(given, "given")
    mip = settings.mip or trained_with(config)["mip"]
    picture = render_mip(
        study.suv, study.affine, spacing_out_mm=mip["spacing_mm"], size=mip["size"], compat=mip["compat"]
    )
    answer = find_tracer(picture, load_discriminators(settings) if weights is None else weights)
    return TracerDecision(answer["tracer"], answer["source"], tuple(answer["probability_psma"]), answer["votes"])


def load_discriminators(settings: ModelSettings) -> list[Mapping]:
    """The discriminator's weights of all folds; none where the folder of models has no discriminator."""
    folder = settings.folder / DISCRIMINATOR
    folds = settings.folds.get(DISCRIMINATOR, ())
    return [load_discriminator(folder / f"fold_{fold}" / CHECKPOINTS[DISCRIMINATOR]) for fold in folds]


def resolved_config(config: Mapping | str | Path | None) -> dict:
    """The whole config; the cohort table that it must name is not read here."""
    keys = read_config(config) if isinstance(config, str | Path) else config or {}
    try:
        return resolve({"cohort": "none", **keys})
    except ConfigError as error:
        raise InputError(" | ".join(str(error).splitlines())) from error
