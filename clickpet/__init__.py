"""clickpet: click-guided lesion segmentation in whole-body PET/CT across tracers."""

__version__ = "0.1.0"
