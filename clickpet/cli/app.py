"""The command line `clickpet`: a registry of its subcommands, one module each."""

from __future__ import annotations

import typer
from typer.core import TyperGroup

from clickpet import __version__
from clickpet.cli import (
    cohort,
    compare,
    export,
    export_model,
    fetch_weights,
    grand_challenge,
    import_model,
    predict,
    rank,
    simulate_budget,
    status,
)
from clickpet.errors import InputError


class OneLineErrors(TyperGroup):
    """A mistake of the user ends with one line on the error stream and exit code 1, never with a traceback."""

    def invoke(self, ctx):
        """Run the subcommand."""
        try:
            return super().invoke(ctx)
        except InputError as error:
            typer.echo(f"clickpet: error: {error}", err=True)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=OneLineErrors,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(cohort.app, name="cohort")
app.command(name="predict")(predict.predict)
app.command(name="grand-challenge")(grand_challenge.grand_challenge)
app.command(name="import-model")(import_model.import_model)
app.command(name="export-model")(export_model.export_model)
app.command(name="fetch-weights")(fetch_weights.fetch_weights)
app.command(name="status")(status.status)
app.command(name="compare")(compare.compare)
app.command(name="rank")(rank.rank)
app.command(name="export")(export.export)
app.command(name="simulate-budget")(simulate_budget.simulate_budget)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"clickpet {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    """Click-guided lesion segmentation in whole-body PET/CT: what is done around the workflow."""
