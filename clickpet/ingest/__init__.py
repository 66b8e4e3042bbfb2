"""Studies as they come: cohort tables, images on one grid, quality control, splits."""
