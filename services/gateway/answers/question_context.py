"""What comes with a question and is not searched: the turns before it, and wishes about the form of the answer."""

from dataclasses import dataclass
from typing import Final

from services.gateway.ports import Message

MAX_TURNS: Final = 8
"""Of earlier turns; what a follow-up refers to is seldom further back."""
MAX_TURN_CHARACTERS: Final = 2000
"""Of each; eight of them are about as long as five passages."""


@dataclass(frozen=True)
class QuestionContext:
    """What the language model is told beside the question and the passages.

    Attributes:
        history: earlier turns of the user and the assistant, oldest first.
        instructions: wishes about language, tone, length and form; they cannot loosen the rules of the prompt.
    """

    history: tuple[Message, ...] = ()
    instructions: str = ""

    @property
    def recent_turns(self) -> tuple[Message, ...]:
        """Return the newest turns, each cut to its beginning where it is long."""
        return tuple(Message(turn.role, _shorten(turn.text)) for turn in self.history[-MAX_TURNS:])


NO_CONTEXT: Final = QuestionContext()


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_TURN_CHARACTERS else f"{text[:MAX_TURN_CHARACTERS]} …"
