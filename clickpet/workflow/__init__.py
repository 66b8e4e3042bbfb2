"""All that knows of Snakemake, SLURM and the machine."""
