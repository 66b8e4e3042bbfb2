"""The command line `clickpet`: a registry of its subcommands, one module each."""

from __future__ import annotations

import errno
from typing import NoReturn

import typer
from typer.core import TyperGroup

from clickpet import __version__
from clickpet.cli import (
    ablate,
    cohort,
    compare,
    config,
    export,
    export_model,
    fetch_weights,
    grand_challenge,
    import_model,
    predict,
    rank,
    review,
    score,
    serve,
    simulate_budget,
    status,
)
from clickpet.errors import InputError, from_os_error
from clickpet.workflow.signals import TerminatedError


class OneLineErrors(TyperGroup):
    """A mistake of the user ends with one line on the error stream and exit code 1, never with a traceback.

    So does what the operating system refuses: a path that is not there, may not be read or written, a full disk.
    """

    def invoke(self, ctx):
        """Run the subcommand."""
        try:
            return super().invoke(ctx)
        except InputError as error:
            _end_with(error)
        except typer.BadParameter as error:
            if not error.message:  # an option that is missing: the usage says more
                raise
            option = error.param.opts[0] if error.param else ""
            _end_with(InputError(error.message, where=option or None), code=2)
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever read our output has gone, as `head` does; click knows what to do
                raise
            _end_with(from_os_error(error))
        except TerminatedError as ended:
            typer.echo(f"clickpet: error: ended by {ended.signal}; what it had begun was ended and removed", err=True)
            raise


def _end_with(error: InputError, code: int = 1) -> NoReturn:
    typer.echo(f"clickpet: error: {error}", err=True)
    raise typer.Exit(code) from None


app = typer.Typer(
    cls=OneLineErrors,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(cohort.app, name="cohort")
#: A command, its function and its module share their name.
for module in (
    *(config, predict, review, serve, grand_challenge, status),
    *(import_model, export_model, fetch_weights),
    *(score, compare, ablate, rank, export, simulate_budget),
):
    name = module.__name__.rpartition(".")[2]
    app.command(name=name.replace("_", "-"))(getattr(module, name))


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"clickpet {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    """Click-guided lesion segmentation in whole-body PET/CT: what is done around the workflow."""
