"""Reads the messages of a chat, as all dialects but the native one send them: the question, and what goes with it."""

from collections.abc import Iterable, Sequence

from services.gateway.answers.question_context import QuestionContext
from services.gateway.ports import Message
from shared.contracts.openai import MAX_INSTRUCTIONS_CHARS
from shared.errors import UnprocessableRequest
from shared.surrogates import replace_halves


def read_turns(turns: Sequence[tuple[str, str]], instructions: str, field: str) -> tuple[str, QuestionContext]:
    """Return the question, which is the last turn, and what goes with it, as texts that have UTF-8.

    Parameters:
        turns: role and text of each message.
        instructions: which stand apart from the messages.
        field: where the messages stand, for the error.

    Raises:
        UnprocessableRequest: the last turn is not the user's, or the instructions are too long.
    """
    wishes = [instructions, *(text for role, text in turns if role in ("system", "developer"))]
    joined = replace_halves("\n\n".join(wish for wish in wishes if wish.strip()))
    if len(joined) > MAX_INSTRUCTIONS_CHARS:
        raise _refuse(field, f"Instructions of the system may have {MAX_INSTRUCTIONS_CHARS} characters in all.")
    said = [(role, replace_halves(text)) for role, text in turns if role not in ("system", "developer")]
    if not said or said[-1][0] != "user":
        raise _refuse(field, "The last message must be the user's: it is the question.")
    return said[-1][1], QuestionContext(tuple(_list_history(said[:-1])), joined)


def _list_history(turns: Iterable[tuple[str, str]]) -> Iterable[Message]:
    for role, text in turns:
        if text.strip() and role in ("user", "assistant"):  # what tools returned is neither's
            yield Message("user" if role == "user" else "assistant", text)


def _refuse(field: str, problem: str) -> UnprocessableRequest:
    return UnprocessableRequest(f"{field}: {problem}", details={"problems": [{"field": field, "problem": problem}]})
