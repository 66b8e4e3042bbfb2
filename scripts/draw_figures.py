"""Draw the figures of the whole run."""

from pathlib import Path

from clickpet.workflow.job import logged


def main(job):
    with logged(job.log[0], job.threads):
        from clickpet.evaluate.agreement import sensitivity_by_volume
        from clickpet.evaluate.run_results import read_lesion_tables
        from clickpet.evaluate.tables import read_table
        from clickpet.evaluate.training_curves import read_training_by_model
        from clickpet.report import figures
        from clickpet.report.gallery import worst_pictures
        from clickpet.report.rounds_figures import draw_round_curves
        from clickpet.report.style import save_figure

        bootstrap = {name: job.params[name] for name in ("repeats", "confidence", "seed")}
        scores = read_table(job.input.scores)
        names = dict(zip(scores["slug"], scores["case"], strict=True))
        worst = worst_pictures(scores, job.input.case_pictures)
        interactive = read_table(job.input.interactive) if job.input.get("interactive") else scores.iloc[:0]
        lesions = read_lesion_tables(job.input.lesion_tables, scores)
        training = read_training_by_model([*job.input.training, *job.input.tracer_training])
        drawings = {
            "interactive_curves": figures.draw_interactive_curves(interactive, **bootstrap),
            "training_curves": figures.draw_training_curves(training),
            "dice_by_case": figures.draw_dice_by_case(scores),
            "bland_altman_tmtv": figures.draw_bland_altman(scores),
            "sensitivity_by_volume": figures.draw_sensitivity_by_volume(sensitivity_by_volume(lesions, **bootstrap)),
            "mip_gallery": figures.draw_gallery({names[slug]: path for slug, path in worst.items()}),
        }
        for path in job.input.get("rounds_summaries", []):
            drawings[f"{Path(path).stem.removesuffix('_summary')}_curves"] = draw_round_curves(read_table(path))
        for path in job.output:
            save_figure(drawings[Path(path).stem], path)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
