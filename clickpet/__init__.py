"""clickpet: click-guided lesion segmentation in whole-body PET/CT across tracers.

What a notebook needs is here (docs/notebook.md), imported when it is first used:

    study = clickpet.read_study(ct="ct.nii.gz", pet="suv.nii.gz")
    found = clickpet.segment_patient(study, models="results/models")

Everything else lies in the packages, one a stage in the Snakefile's order: phantom, ingest (and dicom), clicks, organs,
tracer, train (and nnunet), predict, postprocess, evaluate, report. `models` holds folders of trained models, `workflow`
all that knows of Snakemake, `cli` the commands. docs/paper.md finds the code of each statement of the paper.
"""

from clickpet.lazy_names import lazy_names

__version__ = "0.1.0"

#: Public names and the modules that define them.
_MODULES = {
    # scans, masks and images
    "read_study": "clickpet.ingest.petct",
    "PetCt": "clickpet.ingest.petct",
    "read_label": "clickpet.ingest.petct",
    "read_image": "clickpet.images",
    "write_image": "clickpet.images",
    "Image": "clickpet.images",
    # clicks and heatmaps
    "Clicks": "clickpet.clicks.model",
    "Interaction": "clickpet.clicks.model",
    "read_clicks": "clickpet.clicks.reading",
    "simulate_clicks": "clickpet.clicks.simulation",
    "write_clicks": "clickpet.clicks.writing",
    "write_markups": "clickpet.clicks.writing",
    "HeatmapOptions": "clickpet.clicks.heatmap_options",
    "draw_heatmap": "clickpet.clicks.heatmap",
    # tracer and lesions
    "render_mip": "clickpet.tracer.mip",
    "identify_tracer": "clickpet.models.patient",
    "TracerDecision": "clickpet.models.patient",
    "segment_patient": "clickpet.models.patient",
    "Segmentation": "clickpet.models.patient",
    # live sessions
    "LiveModels": "clickpet.live.models",
    "LiveSession": "clickpet.live.session",
    "drop_faint_specks": "clickpet.postprocess.specks",
    # scores and measurements
    "score_masks": "clickpet.evaluate.scores",
    "score_case": "clickpet.evaluate.scores",
    "measure_lesions": "clickpet.evaluate.lesion_table",
    "measure_study": "clickpet.evaluate.lesion_table",
    # what users are told
    "InputError": "clickpet.errors",
}
__getattr__, __dir__, __all__ = lazy_names(__name__, _MODULES)
__all__ = ["__version__", *__all__]
