"""Which release this is."""

from importlib.metadata import PackageNotFoundError, version


def read_version() -> str:
    """The installed package's version; reads it from disk, so not on an event loop."""
    try:
        return version("pagewire")
    except PackageNotFoundError:
        return "0+source"  # run from a checkout that was never installed
