"""Build backend: setuptools for editable installations; it refuses to build anything to be handed on.

Pagewire is an application that runs from its own folder or from its images. A wheel of it would put packages named
`services` and `shared` among everybody else's, so there is none.
"""

from typing import Any, NoReturn

from setuptools.build_meta import (
    build_editable,
    get_requires_for_build_editable,
    prepare_metadata_for_build_editable,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "prepare_metadata_for_build_editable",
]

_REFUSAL = (
    "Pagewire is an application, not a library: it comes as a clone (`make run`) or as images (`make compose-up`), and"
    " not as a wheel. To install it where it lies: `scripts/install VENV standalone .`"
)


def build_wheel(*_: Any, **__: Any) -> NoReturn:
    """Refuse: what it would install has names that are everybody's. Raise SystemExit with what to do instead."""
    raise SystemExit(_REFUSAL)


def build_sdist(*_: Any, **__: Any) -> NoReturn:
    """Refuse: an archive of the sources is only good for building a wheel. Raise SystemExit, as `build_wheel`."""
    raise SystemExit(_REFUSAL)
