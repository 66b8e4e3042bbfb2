"""DICOM in and out: series, SUV, masks, segmentation objects."""

from clickpet.lazy_names import lazy_names

#: Public names and the modules that define them.
_MODULES = {
    "choose_pet_ct": "clickpet.dicom.series",
    "load_suv": "clickpet.dicom.series",
    "load_mask": "clickpet.dicom.masks",
    "write_seg": "clickpet.dicom.seg_export",
}
__getattr__, __dir__, __all__ = lazy_names(__name__, _MODULES)
