"""Studies as they come: cohort tables, images on one grid, quality control, splits."""

from clickpet.lazy_names import lazy_names

#: Public names and the modules that define them.
_MODULES = {
    "load_ct": "clickpet.ingest.study",
    "load_pet": "clickpet.ingest.study",
    "load_label": "clickpet.ingest.study",
    "draw_splits": "clickpet.ingest.splits",
    "given_splits": "clickpet.ingest.splits",
    "build_from_dicom": "clickpet.ingest.dicom_cohort",
}
__getattr__, __dir__, __all__ = lazy_names(__name__, _MODULES)
