# What Snakemake 9.27 and its SLURM executor 2.8 do badly with many jobs and restless clusters is mended for just these
# versions; clickpet/workflow/repairs.py says what, how it was measured, and when it can go.
import sys

from clickpet.workflow.repairs import apply_repairs

for warning in apply_repairs():
    print(f"warning: {warning}", file=sys.stderr)
