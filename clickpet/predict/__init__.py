"""Inference: lesion masks by ensembles of nnU-Net models."""
