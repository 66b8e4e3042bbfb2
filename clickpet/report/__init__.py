"""The report, its figures, provenance and exports."""
