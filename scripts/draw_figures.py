"""Draw the figures of the whole run."""

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.evaluate.agreement import sensitivity_by_volume
        from clickpet.evaluate.run_results import read_lesion_tables
        from clickpet.evaluate.tables import read_table
        from clickpet.evaluate.training_curves import read_training_by_model
        from clickpet.report import figures
        from clickpet.report.gallery import worst_pictures
        from clickpet.report.style import save_png

        bootstrap = {name: job.params[name] for name in ("repeats", "confidence", "seed")}
        scores = read_table(job.input.scores)
        interactive = read_table(job.input.interactive) if job.input.get("interactive") else scores.iloc[:0]
        lesions = read_lesion_tables(job.input.lesion_tables, scores)
        training = read_training_by_model([*job.input.training, *job.input.tracer_training])
        drawings = {
            "interactive_curves": figures.draw_interactive_curves(interactive, **bootstrap),
            "training_curves": figures.draw_training_curves(training),
            "dice_by_case": figures.draw_dice_by_case(scores),
            "bland_altman_tmtv": figures.draw_bland_altman(scores),
            "sensitivity_by_volume": figures.draw_sensitivity_by_volume(sensitivity_by_volume(lesions, **bootstrap)),
            "mip_gallery": figures.draw_gallery(worst_pictures(scores, job.input.case_pictures)),
        }
        for name, path in job.output.items():
            save_png(drawings[name], path)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
