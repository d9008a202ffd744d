"""The names of documents' versions.

A version is what a pipeline (how PDFs are read and cut, and which model embeds) made of bytes, as its n-th edition.
Each time that a document is to be made anew it has another edition, so that no version is ever written over, and of two
it can be said which is the older one.
"""


def name_version(sha256: str, pipeline: str, edition: int) -> str:
    """Return the name of a version; `pipeline` has no hyphen in it."""
    return f"{sha256[:16]}-{pipeline}-{edition}"


def parse_edition(version: str) -> int:
    """Return the edition of a version that `name_version` has named."""
    return int(version.rpartition("-")[2])


def is_version_of(sha256: str, version: str) -> bool:
    """Return whether a version is one of these bytes."""
    return version.split("-")[0] == sha256[:16]


def is_made_by(version: str, pipeline: str) -> bool:
    """Return whether a version, of whatever release, is of this pipeline."""
    return version.split("-")[1:2] == [pipeline]


def is_embedded_by(version: str, model_id: str) -> bool:
    """Return whether a version's vectors are of the model that names itself so (`DenseEmbedder.model_id`)."""
    return "".join(version.split("-")[1:2]).rpartition(".")[2] == model_id.replace("-", "_")
