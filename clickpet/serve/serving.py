"""`clickpet serve` without its command line: models, a study and the server that clients talk to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clickpet.ingest.petct import PetCt
from clickpet.live.models import LiveModels
from clickpet.serve.access import Gate, check_binding, host_names
from clickpet.serve.client_session import ClientSession
from clickpet.serve.listening import address_of, listen, run
from clickpet.serve.protocol import body_limits, make_app
from clickpet.serve.sessions import Leases

#: The port that nnInteractive's clients suggest.
PORT = 1527


@dataclass(frozen=True)
class ServerOptions:
    """How the server is reached and what it holds.

    names : further host names that it is asked by;  capacity : sessions at once;  memory_bytes : kept between the
    predictions of all sessions together;  most_voxels : of an image;  idle_s, liveness_s : see `Leases`.
    """

    host: str = "127.0.0.1"
    port: int = PORT
    token: str | None = None
    names: Sequence[str] = ()
    capacity: int = 4
    memory_bytes: int = 8 * 2**30
    most_voxels: int = 150_000_000
    idle_s: float = 1800.0
    liveness_s: float = 60.0

    def check(self) -> None:
        """InputError for an address without the token that it needs."""
        check_binding(self.host, self.token)


def serve(
    load_models: Callable[[], LiveModels],
    options: ServerOptions,
    *,
    study: PetCt | None = None,
    tracer: str = "",
    tell: Callable[[str], None] = print,
) -> None:
    """Serve sessions on the models to nnInteractive's clients until Ctrl-C.

    load_models : called once, after the address was found to be free;  study : CT and PET that clients may send the
    PET of alone;  tracer : of it, "" to find it;  tell : is given lines for the person who started the server, none
    of which holds anything of a study.  Raises InputError for options, models or a study that cannot be used.
    """
    options.check()
    with listen(options.host, options.port) as listening:
        models = load_models()
        models.settings.check_study(tracer)
        if study is not None:
            tracer = models.decide_tracer(study, tracer).tracer

        def new_session() -> ClientSession:
            limit = options.memory_bytes // options.capacity
            return ClientSession(models, served=study, served_tracer=tracer, memory_limit_bytes=limit)

        leases = Leases(new_session, capacity=options.capacity, idle_s=options.idle_s, liveness_s=options.liveness_s)
        app = Gate(
            make_app(leases, most_voxels=options.most_voxels),
            names=host_names(options.host, options.names),
            token=options.token or None,
            body_limit=body_limits(options.most_voxels),
            tell=tell,
        )
        tell(f"serve: {address_of(listening)} for {options.capacity} sessions, on {models.device}; end with Ctrl-C")
        run(app, listening)
