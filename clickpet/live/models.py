"""The models of live sessions: the networks of a folder of models, loaded once for all sessions."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from clickpet.clicks.heatmap_options import HeatmapOptions
from clickpet.devices import choose_device
from clickpet.models.patient import TracerDecision, decide_tracer, load_discriminators, resolved_config
from clickpet.models.settings import ModelSettings, read_settings
from clickpet.postprocess.options import PostprocessOptions
from clickpet.predict.inference import NOT_OF_INFERENCE, mirroring_planner

if TYPE_CHECKING:
    from clickpet.ingest.petct import PetCt
    from clickpet.predict.ensemble import LesionEnsemble
    from clickpet.predict.study_predictor import StudyPredictor


@dataclass(frozen=True, eq=False)
class LiveModels:
    """Networks of all tracers and folds of a folder of models, in memory once, shared by any number of sessions.

    settings : of the folder;  config : whole config, whose `predict` and `postprocess` the sessions follow;
    ensembles : {tracer: LesionEnsemble};  discriminators : weights of all folds;  calibration : {tracer: table of
    `clickpet.predict.calibrate`}, needed with predict.mirroring "budget";  lock : held during a forward pass.
    """

    settings: ModelSettings
    config: Mapping
    device: str
    ensembles: Mapping[str, LesionEnsemble]
    discriminators: Sequence[Mapping]
    calibration: Mapping[str, dict] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        device: str | None = None,
        *,
        config: Mapping | str | Path | None = None,
        calibration: Mapping[str, dict] | None = None,
    ) -> LiveModels:
        """Load the networks of all tracers and folds in `folder`.

        device : "cpu" or "cuda" (None: a GPU if there is one);  config : keys that differ from config/config.yaml, or
        a YAML file of them.  Raises InputError for models or a config that cannot be used.
        """
        from clickpet.predict.ensemble import LesionEnsemble

        settings, config = read_settings(folder), resolved_config(config)
        if settings.heatmap is None:
            warnings.warn(f"{settings.folder} has no settings.json: taking the config's heatmap and MIPs", stacklevel=2)
        device = device or choose_device(apple=True)
        lock = threading.Lock()
        loaded = {
            model: LesionEnsemble.load(settings.folder / model, settings.folds[model], device=device, lock=lock)
            for model in settings.lesion_models
        }
        ensembles = {tracer: loaded[settings.lesion_model(tracer)] for tracer in settings.tracers}
        return cls(settings, config, device, ensembles, load_discriminators(settings), calibration or {}, lock)

    @property
    def heatmap(self) -> HeatmapOptions:
        """How the models were shown clicks in training; the config's way where that is not recorded."""
        return HeatmapOptions.from_mapping(self.settings.heatmap or self.config["heatmap"])

    @property
    def postprocessing(self) -> PostprocessOptions:
        """What happens to a mask before it is shown."""
        return PostprocessOptions.from_mapping(self.config["postprocess"])

    def predictor(self, study: PetCt, tracer: str, memory_limit_bytes: int) -> StudyPredictor:
        """What predicts `study` with the models of `tracer`, keeping so much from one prediction to the next."""
        from clickpet.predict.study_predictor import StudyPredictor

        options = {name: value for name, value in self.config["predict"].items() if name not in NOT_OF_INFERENCE}
        plan = [options.pop(name) for name in ("mirroring", "voxel_limits", "time_limit_s")]
        ensemble = self.ensembles[tracer]
        axes, _ = mirroring_planner(ensemble, *plan, self.calibration.get(tracer))
        return StudyPredictor(
            ensemble,
            ct=study.ct,
            suv=study.suv,
            affine=study.affine,
            memory_limit_bytes=memory_limit_bytes,
            mirror_axes=axes,
            lesion_probability=self.postprocessing.needs_probability,
            **options,
        )

    def decide_tracer(self, study: PetCt, given: str = "") -> TracerDecision:
        """Tracer of `study`; InputError for a tracer that there is no model of."""
        self.settings.check_study(given)
        return decide_tracer(study, self.settings, given, self.config, self.discriminators)
