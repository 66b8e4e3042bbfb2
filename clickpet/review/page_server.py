"""The server of the review page: FastAPI on this machine, the page's files and the studies by their numbers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Literal

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel, Field

from clickpet.errors import InputError
from clickpet.review.access import TokenPath
from clickpet.review.desk import Desk, NotOpenError

PAGE = Path(__file__).parent / "page"
#: Files of the page by their address; nothing else is served from the disk.
FILES = {
    "index.html": "index.html",
    "review.css": "review.css",
    "review.js": "review.js",
    "viewer.js": "viewer.js",
    "niivue.js": "niivue.umd.js",
}
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
#: Seconds between looks for studies that nobody asks for.
_SWEEP_S = 30.0

Index = Annotated[int, Field(ge=0, lt=2**15)]


class Interaction(BaseModel):
    """A click (one voxel) or a scribble (several), in voxels of the viewer."""

    kind: Literal["tumor", "background"]
    points: Annotated[list[tuple[Index, Index, Index]], Field(min_length=1, max_length=2000)]


def make_app(desk: Desk, *, token: str, on_finish: Callable[[], None] | None = None) -> FastAPI:
    """The application that serves the page for the studies of `desk`.

    token : first part of every path;  on_finish : called when the page says that all is done (None: it cannot).
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI):
        sweeping = asyncio.create_task(_sweep(desk))
        yield
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping
        desk.close_all()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.add_middleware(TokenPath, token=token)
    _add_page(app)
    _add_studies(app, desk)

    @app.post("/api/finish")
    def finish() -> dict:
        if on_finish is None:
            raise HTTPException(404)
        on_finish()
        return {}

    @app.exception_handler(InputError)
    async def refused(request: Request, error: InputError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 422)

    @app.exception_handler(NotOpenError)
    async def not_open(request: Request, error: NotOpenError) -> JSONResponse:
        return JSONResponse({"error": "this study is not open"}, 410)

    return app


async def _sweep(desk: Desk) -> None:
    while True:
        await asyncio.sleep(_SWEEP_S)
        await asyncio.to_thread(desk.close_idle)


def _add_page(app: FastAPI) -> None:
    @app.get("/")
    @app.get("/{name}")
    def page(name: str = "index.html") -> FileResponse:
        if name not in FILES:
            raise HTTPException(404)
        return FileResponse(PAGE / FILES[name], media_type=TYPES[Path(name).suffix])


def _add_studies(app: FastAPI, desk: Desk) -> None:
    @app.get("/api/studies")
    def studies() -> list[dict]:
        return desk.rows()

    @app.post("/api/studies/{number}/open")
    def open_study(number: int) -> dict:
        return desk.open(number).description()

    @app.get("/api/studies/{number}/{volume}.nii")
    def volume(number: int, volume: Literal["ct", "pet", "mip"]) -> Response:
        review = desk.get(number)
        made = {"ct": review.ct_file, "pet": review.pet_file, "mip": review.mip_file}[volume]
        return Response(made(), media_type="application/octet-stream")

    @app.get("/api/studies/{number}/state")
    def state(number: int) -> dict:
        return desk.get(number).state(whole=True)

    @app.get("/api/studies/{number}/truth")
    def truth(number: int) -> dict:
        return desk.get(number).truth()

    @app.get("/api/studies/{number}/ray")
    def ray(number: int, across: int, turn: int, up: int) -> dict:
        return {"voxel": desk.get(number).voxel_on_ray(across, turn, up)}

    @app.post("/api/studies/{number}/predict")
    def predict(number: int) -> dict:
        return desk.get(number).predict()

    @app.post("/api/studies/{number}/interactions")
    def add(number: int, interaction: Interaction) -> dict:
        return desk.get(number).add(interaction.kind, interaction.points)

    @app.post("/api/studies/{number}/undo")
    def undo(number: int) -> dict:
        return desk.get(number).undo() or {}

    @app.post("/api/studies/{number}/save")
    def save(number: int) -> dict:
        return {"lines": desk.get(number).save()}

    @app.post("/api/studies/{number}/alive")
    def alive(number: int) -> dict:
        desk.get(number)
        return {}

    @app.post("/api/studies/{number}/close")
    def close(number: int) -> dict:
        desk.close(number)
        return {}
