"""Training of the lesion models."""
