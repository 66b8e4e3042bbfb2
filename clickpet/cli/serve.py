"""`clickpet serve`: models for the nnInteractive clients of 3D Slicer, napari, MITK and Python."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def serve(
    models: Annotated[Path, typer.Option(help="Folder with fdg/, psma/, tracer/.", show_default=False)],
    ct: Annotated[
        Path | None, typer.Option(help="CT of the study that clients send the PET of alone.", show_default=False)
    ] = None,
    pet: Annotated[
        Path | None, typer.Option(help="Its PET in SUV (g/ml), or a DICOM folder.", show_default=False)
    ] = None,
    tracer: Annotated[str, typer.Option(help="fdg or psma, of that study; else it is found.", show_default=False)] = "",
    host: Annotated[
        str, typer.Option(help="Address to listen on; one that other machines reach needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any that is free.")] = 1527,
    token: Annotated[
        str,
        typer.Option(
            help="API key that clients must give; the environment keeps it from the list of processes.",
            envvar=["CLICKPET_TOKEN", "NN_INTERACTIVE_API_KEY"],
            show_default=False,
        ),
    ] = "",
    name: Annotated[
        list[str] | None,
        typer.Option(
            help="Further host name that clients ask by, such as a proxy's; may be repeated.", show_default=False
        ),
    ] = None,
    capacity: Annotated[int, typer.Option(min=1, max=64, help="Sessions at once.")] = 4,
    memory: Annotated[
        float, typer.Option(min=0, help="GiB kept between predictions for quick clicks, all sessions together.")
    ] = 8,
    most_voxels: Annotated[int, typer.Option(min=1, help="Voxels of a client's image, in one channel.")] = 150_000_000,
    idle: Annotated[float, typer.Option(min=1, help="Seconds without a click after which a session ends.")] = 1800,
    liveness: Annotated[
        float, typer.Option(min=10, help="Seconds after which the session of a client that vanished ends.")
    ] = 60,
    device: Annotated[
        str, typer.Option(help="cpu or cuda; a GPU if there is one by default.", show_default=False)
    ] = "",
    config: Annotated[Path | None, typer.Option(help="YAML with config keys that differ.", show_default=False)] = None,
) -> None:
    """Serve the models to nnInteractive's clients for 3D Slicer, napari, MITK and Python (docs/live.md)."""
    from clickpet.errors import InputError
    from clickpet.ingest.petct import read_study
    from clickpet.live.models import LiveModels
    from clickpet.serve.serving import ServerOptions
    from clickpet.serve.serving import serve as run_server

    if (ct is None) != (pet is None):
        raise InputError("--ct and --pet belong together", mend="give both, or none and let clients send both")
    if tracer.lower() not in ("", "fdg", "psma"):
        raise InputError("is no tracer", where=f"--tracer {tracer}", mend="give fdg or psma")
    if tracer and ct is None:
        raise InputError("--tracer is that of --ct and --pet", mend="clients give theirs in the image's properties")
    options = ServerOptions(
        host, port, token or None, tuple(name or ()), capacity, int(memory * 2**30), most_voxels, idle, liveness
    )
    options.check()
    study = read_study(ct=ct, pet=pet) if ct is not None else None
    run_server(
        lambda: LiveModels.load(models, device or None, config=config),
        options,
        study=study,
        tracer=tracer.lower(),
        tell=lambda line: typer.echo(line, err=True),
    )
