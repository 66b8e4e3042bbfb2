# What Snakemake 9.27 and its SLURM executor 2.8 do badly with many jobs and restless clusters; the functions say how.
import sys

from snakemake.dag import DAG, ScriptProcessor

from clickpet.workflow.job_graph import check_groups, is_ready, once_a_rule
from clickpet.workflow.slurm_answers import patient

DAG._check_groups = check_groups
DAG._ready = is_ready
DAG.validate_group = lambda dag, group: None
ScriptProcessor.process_job = once_a_rule(ScriptProcessor.process_job)
# Snakemake has imported every executor that is installed
if slurm := sys.modules.get("snakemake_executor_plugin_slurm"):
    slurm.query_job_status = patient(slurm.query_job_status)
