"""DICOM in and out: series, SUV, masks, segmentation objects."""
