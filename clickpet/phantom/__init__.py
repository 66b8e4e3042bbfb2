"""A small PET/CT cohort made by code, for the demo and the tests."""
