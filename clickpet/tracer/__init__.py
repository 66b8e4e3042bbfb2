"""The tracer discriminator: maximum intensity projections and the MIP-CNN."""
