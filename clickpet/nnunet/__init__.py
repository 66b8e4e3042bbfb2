"""nnU-Net's formats: plans, networks, model folders, resampling."""
