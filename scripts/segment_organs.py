"""Find the organs on the CTs of a bucket of cases with TotalSegmentator; its models are loaded once."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads, gpus=job.resources.get("gpu", 1)):
        from clickpet.devices import choose_device
        from clickpet.files import write_json
        from clickpet.ingest.study import read_ct
        from clickpet.organs.cache import OrganCase, segment_missing
        from clickpet.organs.totalsegmentator import OrganSegmenter

        settings = job.params.settings
        device = choose_device(job.resources.get("gpu"))
        keys = segment_missing(
            [OrganCase(*case) for case in zip(job.params.cases, job.params.sources, job.input.ct, strict=True)],
            job.params.folder,
            settings=settings,
            load_segmenter=lambda: OrganSegmenter(fast=settings["fast"], weights=job.params.weights, device=device),
            read_ct=read_ct,
        )
        write_json(job.output.bucket, keys)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
