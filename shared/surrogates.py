"""Joins characters whose UTF-16 halves came apart: models split emoji over two tokens, and front ends cut texts."""


def join_halves(text: str) -> tuple[str, str]:
    """The text with its surrogate pairs joined, and a first half at its end that waits for the next token.

    A half that has lost its other half becomes U+FFFD, so that the text can be sent and stored as UTF-8.
    """
    if text.isascii():
        return text, ""
    half = text[-1] if "\ud800" <= text[-1] <= "\udbff" else ""
    return replace_halves(text.removesuffix(half)), half


def replace_halves(text: str) -> str:
    """The text with its surrogate pairs joined, and U+FFFD for each half that has lost its other half."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
