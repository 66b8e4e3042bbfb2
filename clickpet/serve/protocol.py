"""The nnInteractive HTTP protocol (clients 2.6) on live sessions: the application behind `clickpet serve`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from typing import Annotated, TypeVar

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from nnInteractive.inference.remote import _protocol as wire
from pydantic import BaseModel, Field, FiniteFloat

from clickpet.errors import InputError
from clickpet.serve.access import SMALL_BODY_BYTES
from clickpet.serve.arrays import IMAGE_TYPES, MASK_TYPES, OVERHEAD_BYTES, packed, unpacked
from clickpet.serve.client_session import Change, ClientSession
from clickpet.serve.sessions import CapacityError, Lease, LeaseGoneError, Leases

#: Requests of one client that may wait for each other.
MOST_WAITING = 8
#: Seconds that a client may take to send an image.
UPLOAD_S = 600.0
#: Channels of an image and bytes of a voxel, at most.
_CHANNELS, _VOXEL_BYTES = 2, 8
_REFUSED = {
    wire.PATH_ADD_BBOX: "boxes",
    wire.PATH_ADD_LASSO: "lassos",
    wire.PATH_ADD_INITIAL_SEG: "initial segmentations",
}
_UPLOADS = (wire.PATH_ADD_SCRIBBLE, wire.PATH_ADD_LASSO, wire.PATH_ADD_INITIAL_SEG)
T = TypeVar("T")


class Target(BaseModel):
    """The client's mask."""

    shape: Annotated[list[int], Field(min_length=3, max_length=3)]


class Point(BaseModel):
    """A click."""

    coordinates: Annotated[list[FiniteFloat], Field(min_length=3, max_length=3)]
    include_interaction: bool
    run_prediction: bool = True


class Scribble(BaseModel):
    """What comes with the mask of a scribble."""

    include_interaction: bool
    run_prediction: bool = True
    interaction_bbox: Annotated[list[tuple[int, int]], Field(min_length=3, max_length=3)] | None = None


class ImageMeta(BaseModel):
    """What comes with an image."""

    image_properties: dict = {}


def _token(request: Request) -> str:
    return request.headers.get(wire.LEASE_HEADER, "")


async def _lease_of(request: Request) -> Lease[ClientSession]:
    return request.app.state.leases.get(_token(request))


#: The lease of the client that asks.
Leased = Annotated[Lease, Depends(_lease_of)]


class BusyError(Exception):
    """Too many requests of one client wait."""


def body_limits(most_voxels: int) -> Callable[[str], int]:
    """Bytes that the body of a path may have, for images of at most `most_voxels`."""
    overhead = OVERHEAD_BYTES + most_voxels // 64  # of what does not get smaller when it is packed
    limits = {wire.PATH_SET_IMAGE: _CHANNELS * _VOXEL_BYTES * most_voxels + overhead}
    limits |= dict.fromkeys(_UPLOADS, _VOXEL_BYTES * most_voxels + overhead)
    return lambda path: limits.get(path, SMALL_BODY_BYTES)


def capabilities() -> dict:
    """What the server can do, as clients ask for it."""
    return {
        "supported_interactions": {
            "points": True, "scribble": True, "lasso": False, "bbox2d": False, "bbox3d": False,
        },
        "channel_mapping": {"points": [0, 1], "scribble": [0, 1]},
        "num_interaction_channels": 2,
        "supports_initial_label": False,
        "supports_zero_shot_label_refinement": False,
        "preferred_scribble_thickness": [1, 1, 1],
        "interaction_decay": 1.0,
        "do_autozoom": False,
        "supports_undo": True,
        "inference_session_version": version("nninteractive-client"),
        "license": "of the models that clickpet serve was started with",
    }  # fmt: skip


class Work:
    """Requests of the leases of `leases`, each in a thread, one at a time for each client."""

    def __init__(self, leases: Leases[ClientSession]):
        self.leases = leases
        self._threads = ThreadPoolExecutor(leases.capacity, thread_name_prefix="session")

    async def do(self, lease: Lease[ClientSession], function: Callable[..., T], *given) -> T:
        """`function` in a thread when the client's requests before it have ended."""
        if lease.busy >= MOST_WAITING:
            raise BusyError
        lease = self.leases.begin(lease.token)
        try:
            async with lease.session.queue:
                return await asyncio.get_running_loop().run_in_executor(self._threads, function, *given)
        finally:
            self.leases.end(lease)

    async def sweep(self) -> None:
        """End leases that ran out, for ever."""
        while True:
            await asyncio.sleep(min(5.0, self.leases.liveness_s / 4))
            await asyncio.to_thread(self.leases.expire)

    async def close(self) -> None:
        """End all leases."""
        await asyncio.to_thread(self.leases.close_all)
        self._threads.shutdown(wait=False)


def make_app(leases: Leases[ClientSession], *, most_voxels: int) -> FastAPI:
    """The application; put a `Gate` with `body_limits` in front of it.

    leases : of `ClientSession`;  most_voxels : of an image, in one channel.
    """
    work = Work(leases)

    @asynccontextmanager
    async def lifespan(app: FastAPI):
        sweeping = asyncio.create_task(work.sweep())
        yield
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping
        await work.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.state.leases = leases
    _add_answers_to_mistakes(app)
    _add_leases(app, leases)
    _add_images(app, work, most_voxels)
    _add_interactions(app, work, most_voxels)
    return app


def _add_answers_to_mistakes(app: FastAPI) -> None:
    answers = {
        LeaseGoneError: (410, "the session is over or never was; connect again"),
        CapacityError: (503, "all sessions of the server are taken; try again later"),
        BusyError: (429, "too many requests of this session wait"),
        TimeoutError: (408, "the upload took too long"),
    }
    for kind, (status, detail) in answers.items():

        async def answer(request: Request, error: Exception, status=status, detail=detail) -> JSONResponse:
            return JSONResponse({"detail": detail}, status)

        app.add_exception_handler(kind, answer)

    @app.exception_handler(InputError)
    async def refused(request: Request, error: InputError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 400)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"detail": "the request is malformed"}, 422)


def _add_leases(app: FastAPI, leases: Leases[ClientSession]) -> None:
    @app.get(wire.PATH_HEALTHZ)
    async def healthz() -> dict:
        return {"ok": True}

    @app.get(wire.PATH_CAPABILITIES)
    async def told_capabilities() -> dict:
        return capabilities()

    @app.post(wire.PATH_CLAIM)
    async def claim() -> dict:
        return {
            "lease_token": leases.claim().token,
            "idle_timeout_seconds": leases.idle_s,
            "liveness_timeout_seconds": leases.liveness_s,
        }

    @app.post(wire.PATH_RELEASE)
    async def release(request: Request) -> dict:
        if not await asyncio.to_thread(leases.release, _token(request)):
            raise LeaseGoneError
        return {"released": True}

    @app.post(wire.PATH_HEARTBEAT)
    @app.get(wire.PATH_LEASE_STATUS)
    async def remaining(request: Request) -> dict:
        lease = leases.get(_token(request))
        return {"remaining_seconds": leases.remaining_s(lease), "idle_timeout_seconds": leases.idle_s}


def _add_images(app: FastAPI, work: Work, most_voxels: int) -> None:
    @app.post(wire.PATH_SET_IMAGE)
    async def set_image(request: Request, lease: Leased) -> dict:
        meta = _meta(request, ImageMeta)
        body = await _body(request)

        def begin() -> tuple[int, ...]:
            image = unpacked(body, axes=4, types=IMAGE_TYPES, most_voxels=_CHANNELS * most_voxels)
            if image[0].size > most_voxels:
                raise InputError(f"the image has more than {most_voxels} voxels")
            return lease.session.set_image(image, meta.image_properties)

        return {"original_image_shape": list(await work.do(lease, begin))}

    @app.post(wire.PATH_SET_TARGET_BUFFER)
    async def set_target_buffer(target: Target, lease: Leased) -> dict:
        await work.do(lease, lease.session.set_target, target.shape)
        return {}

    @app.post(wire.PATH_SET_DO_AUTOZOOM)
    async def set_do_autozoom(lease: Leased) -> dict:
        return {}  # predictions are always of the whole body


def _add_interactions(app: FastAPI, work: Work, most_voxels: int) -> None:
    @app.post(wire.PATH_ADD_POINT)
    async def add_point(point: Point, lease: Leased) -> Response:
        given = point.coordinates, point.include_interaction, point.run_prediction
        return _answer(await work.do(lease, lease.session.add_point, *given))

    @app.post(wire.PATH_ADD_SCRIBBLE)
    async def add_scribble(request: Request, lease: Leased) -> Response:
        meta = _meta(request, Scribble)
        body = await _body(request)

        def add() -> Change | None:
            mask = unpacked(body, axes=3, types=MASK_TYPES, most_voxels=most_voxels)
            given = meta.interaction_bbox, meta.include_interaction, meta.run_prediction
            return lease.session.add_scribble(mask, *given)

        return _answer(await work.do(lease, add))

    for path, what in _REFUSED.items():
        app.post(path)(_refusal_of(what))

    @app.post(wire.PATH_UNDO)
    async def undo(lease: Leased) -> Response:
        return _answer(await work.do(lease, lease.session.undo))

    @app.post(wire.PATH_PREDICT)
    async def predict(lease: Leased) -> Response:
        return _answer(await work.do(lease, lease.session.predict))

    @app.post(wire.PATH_RESET_INTERACTIONS)
    async def reset_interactions(lease: Leased) -> dict:
        await work.do(lease, lease.session.reset)
        return {}


def _refusal_of(what: str) -> Callable:
    async def refuse(request: Request, lease: Leased) -> Response:
        async for _ in request.stream():  # else the client fails in sending before it reads why
            pass
        raise InputError(f"clickpet's models know no {what}", mend="use points or scribbles")

    return refuse


def _meta(request: Request, kind: type[BaseModel]):
    try:
        return kind.model_validate_json(request.headers.get(wire.META_HEADER, "{}"))
    except ValueError:
        raise RequestValidationError([]) from None


async def _body(request: Request) -> bytes:
    async with asyncio.timeout(UPLOAD_S):
        return await request.body()


def _answer(change: Change | None) -> Response:
    """The changed box of the mask as clients expect it; None: nothing was predicted."""
    box = None if change is None or change.box is None else [[part.start, part.stop] for part in change.box]
    meta = json.dumps({"ran_prediction": change is not None, "bbox": box})
    content = b"" if box is None else packed(change.mask)
    return Response(content, media_type=wire.CONTENT_TYPE_OCTET_STREAM, headers={wire.META_HEADER: meta})
