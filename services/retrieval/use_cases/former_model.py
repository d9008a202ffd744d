"""The embedding model of before, by which documents are found that a switch has not come to yet."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from services.retrieval.domain.comparable_vectors import Scale, make_scale
from services.retrieval.ports import QueryEmbedder

if TYPE_CHECKING:  # settings come by here, and nobody should wait for numpy to learn that one of them is wrong
    import numpy as np
    from numpy.typing import NDArray

UNRELATED = (
    "Wash the rice until the water runs clear, then let it stand for half an hour before you cook it.",
    "The committee met on Tuesday and put off the vote on the new bridge until spring.",
    "Net cash provided by operating activities was lower, mainly because inventories grew.",
    "Keep the tank upright, close the valve by hand and never use a tool to loosen it.",
    "Patients who took the drug slept longer, but the difference was within the error.",
    "Employees may take up to five days of leave for a family member who is ill.",
    "The river rises in the hills, turns east at the old mill and reaches the sea after ninety miles.",
    "If either party ends the contract, what was paid in advance is returned within thirty days.",
    "The function returns an empty list when no record matches, and raises an error when the file is missing.",
    "In the second movement the strings repeat the theme softly while the horns fall silent.",
    "Young owls leave the nest after a month and are fed by both parents until autumn.",
    "Visitors without a badge must be accompanied; the door on the ground floor locks at six.",
    "Set the dial to zero, wait for the green lamp and read the pressure twice.",
    "The duke lost his lands in the war and lived abroad until the peace of the next decade.",
    "Steel of this grade bends without cracking at temperatures far below freezing.",
    "Our team won the cup after extra time, although two players had been sent off.",
    "Interest on the loan is due each quarter and follows the rate of the central bank.",
    "A healthy soil holds water like a sponge and gives it back to roots in dry weeks.",
    "The lens gathers light from distant galaxies that shone before the earth was formed.",
    "Children under twelve travel free when an adult with a valid ticket is with them.",
    "Back up the database before the upgrade, and try the copy on another machine.",
    "The court held that silence alone does not amount to consent.",
    "Paint the primer on thinly and sand it when it is dry; two coats are better than a thick one.",
    "Exports fell for the third month in a row as orders from abroad became fewer.",
)
"""Of many subjects, so that a question has to do with few of them, and those hardly matter."""


class PassageEmbedder(QueryEmbedder, Protocol):
    """Embeds passages, too."""

    @property
    def model_id(self) -> str:
        """Names the model."""
        ...

    async def embed_passages(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """float32 array of shape (number of texts, dimension)."""
        ...


@dataclass(frozen=True)
class FormerModel:
    """Embeds questions as the model of before does.

    Attributes:
        own: the vectors of UNRELATED by the model in force, shape (texts, dimension); `former`: those by this one.
    """

    embedder: QueryEmbedder
    model_id: str
    own: "NDArray[np.float32]" = field(repr=False)
    former: "NDArray[np.float32]" = field(repr=False)

    def make_scale(self, own: Sequence[float], former: Sequence[float]) -> Scale:
        """Return what turns cosines to a question's `former` vector into those to its `own` one."""
        return make_scale((self.former @ former).tolist(), (self.own @ own).tolist())


async def prepare_former_model(former: PassageEmbedder | None, own: PassageEmbedder) -> FormerModel | None:
    """Return the model of before with what compares its cosines with ours; None where there is none, or it is ours."""
    if former is None or former.model_id == own.model_id:
        return None
    vectors = await own.embed_passages(UNRELATED), await former.embed_passages(UNRELATED)
    return FormerModel(former, former.model_id, *vectors)
