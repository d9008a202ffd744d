"""What the blob store makes of the errors of its library."""

import asyncio
import errno
from pathlib import Path

import pytest
from obstore.exceptions import GenericError

from shared.blobs.obstore_store import ObstoreBlobStore
from shared.errors import DependencyUnavailable, DiskFull, ServiceError


@pytest.mark.parametrize(("number", "told"), [(28, DiskFull), (122, DiskFull), (13, DependencyUnavailable)])
async def test_a_full_disk_behind_the_library_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, told: type[ServiceError]
) -> None:
    """It has no error of its own for that; this is the text of its 0.12 on a full tmpfs."""
    text = f"Generic LocalFileSystem error: Unable to copy data to file: Something (os error {number})\n\nDebug source"

    async def refuse(*_: object, **__: object) -> None:
        raise GenericError(text)

    def refuse_link(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse_link)
    monkeypatch.setattr("obstore.put_async", refuse)
    store = await asyncio.to_thread(ObstoreBlobStore, (tmp_path / "blobs").as_uri())
    file = tmp_path / "upload"
    await asyncio.to_thread(file.write_bytes, b"%PDF-")

    with pytest.raises(ServiceError) as caught:
        await store.put_file("t/ab/doc.pdf", file)

    assert type(caught.value) is told
