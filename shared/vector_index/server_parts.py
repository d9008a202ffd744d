"""Opens an index on a Qdrant server in parts: collections beside each other, a part for each length of vectors."""

from shared.settings import IndexSettings
from shared.vector_index.parts import PartedIndex, choose_part
from shared.vector_index.server import connect_server_index, make_server_index


async def connect_server_parts(settings: IndexSettings, dimension: int) -> PartedIndex:
    """Return the index in the collection of the settings and those beside it, of which one is made for this length.

    Raises ValueError when no server is configured.
    """
    lengths = await _find_lengths(settings)
    own = choose_part(settings.collection, dimension, lengths)
    before = [
        await connect_server_index(_name_collection(settings, name), length)
        for name, length in sorted(lengths.items())
        if name != own
    ]
    return PartedIndex(await connect_server_index(_name_collection(settings, own), dimension), before)


async def find_server_upkeep(settings: IndexSettings) -> PartedIndex:
    """Return the index in all of these collections for who only looks after points; nothing is made.

    Raises ValueError when no server is configured.
    """
    lengths = await _find_lengths(settings) or {settings.collection: 0}
    own, *before = [
        await make_server_index(_name_collection(settings, name), length) for name, length in sorted(lengths.items())
    ]
    return PartedIndex(own, before)


async def _find_lengths(settings: IndexSettings) -> dict[str, int]:
    index = await make_server_index(settings, 0)
    try:
        return await index.find_parts()
    finally:
        await index.close()


def _name_collection(settings: IndexSettings, name: str) -> IndexSettings:
    return settings.model_copy(update={"collection": name})
