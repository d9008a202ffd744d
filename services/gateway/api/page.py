"""The web page: one HTML, one CSS and one JavaScript file, nothing from another host."""

import mimetypes
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse
from starlette.staticfiles import StaticFiles

STATIC = Path(__file__).parent.parent / "static"

# Text from PDFs and answers from models are shown on this page: whatever slips into it may not run or load anything.
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def show_page() -> FileResponse:
    """Show the page."""
    return FileResponse(STATIC / "index.html", headers=_HEADERS)


@router.get("/favicon.ico", status_code=204)
async def show_icon() -> None:
    """Answer that there is none: browsers ask for one on their own and would count a 404 as an error of the page."""


def make_static_files() -> StaticFiles:
    """Return what the page loads, for mounting at /static."""
    mimetypes.init()  # reads files, which the first request would do on the event loop
    return StaticFiles(directory=STATIC)
