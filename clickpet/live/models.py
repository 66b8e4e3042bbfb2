"""The models of live sessions: the networks of a folder of models, loaded once for all sessions."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from clickpet.clicks.heatmap_options import HeatmapOptions
from clickpet.devices import choose_device
from clickpet.models.patient import TracerDecision, decide_tracer, load_discriminators, resolved_config
from clickpet.models.settings import ModelSettings, read_settings

if TYPE_CHECKING:
    from clickpet.ingest.petct import PetCt
    from clickpet.predict.ensemble import LesionEnsemble

#: Keys of the config's section `predict` that are no options of a prediction.
NO_OPTIONS = ("models", "save_disagreement")


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
        device = device or choose_device(apple=True)
        loaded = {
            model: LesionEnsemble.load(settings.folder / model, settings.folds[model], device=device)
            for model in settings.lesion_models
        }
        ensembles = {tracer: loaded[settings.lesion_model(tracer)] for tracer in settings.tracers}
        return cls(settings, config, device, ensembles, load_discriminators(settings), calibration or {})

    @property
    def heatmap(self) -> HeatmapOptions:
        """How the models were shown clicks in training; the config's way where that is not recorded."""
        return HeatmapOptions.from_mapping(self.settings.heatmap or self.config["heatmap"])

    @property
    def predict_options(self) -> dict:
        """The options of section `predict`."""
        return {name: value for name, value in self.config["predict"].items() if name not in NO_OPTIONS}

    def decide_tracer(self, study: PetCt, given: str = "") -> TracerDecision:
        """Tracer of `study`; InputError for a tracer that there is no model of."""
        self.settings.check_study(given)
        return decide_tracer(study, self.settings, given, self.config, self.discriminators)
