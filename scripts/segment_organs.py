"""Find the organs on the CT of one or many cases with TotalSegmentator; its models are loaded once."""

from clickpet.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.images import read_image, write_image
        from clickpet.totalseg import OrganSegmenter

        segmenter = OrganSegmenter(fast=job.params.fast, weights=job.params.get("weights"))
        cts, truths, outputs = ([files] if isinstance(files, str) else files
                                for files in (job.input.ct, job.input.truth, job.output.organs))  # fmt: skip
        for path, truth, output in zip(cts, truths, outputs, strict=True):
            ct = read_image(path)
            organs = segmenter.organ_map(ct)
            if job.params.erase_lesions:
                organs[read_image(truth).array > 0] = 0
            write_image(output, organs, ct.affine)
            print(f"{output}: written")


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
