"""The revision of what a tenant's searches see, and what holds for one revision only: answers that were given.

Whatever a search can find is decided by the registry (docs/decisions/0011). So each script of it that changes that, by
a publication or a deletion, also gives the tenant a new revision and drops the answers that are kept, all in one step:
what is kept never outlives what it was made of, nor does the text of a deleted document stay there. Who keeps answers
is `services/gateway/answer_cache.py`.

A revision is a random token and no number: a Redis that comes back without its last second would count to the same
number again, and mean another one.
"""

import secrets
from dataclasses import dataclass


@dataclass(frozen=True)
class RevisionKeys:
    """Where they lie.

    Attributes:
        revision: string; missing as long as nothing was published or deleted.
        answers: hash; what is kept, and in the field `bytes` its size.
        ages: sorted set; the fields of `answers` by the time at which they expire.
    """

    revision: str
    answers: str
    ages: str

    def as_list(self) -> list[str]:
        """Return them in the order in which the scripts take them."""
        return [self.revision, self.answers, self.ages]


def make_revision_keys(prefix: str, tenant: str) -> RevisionKeys:
    """Return the keys of a tenant, on a Redis where all begin with `prefix`."""
    first = f"{prefix}{tenant}"
    return RevisionKeys(f"{first}:revision", f"{first}:answers", f"{first}:answers:ages")


def make_revision() -> str:
    """Return a revision that there never was."""
    return secrets.token_hex(16)
