"""Joins characters of which a model has split the UTF-16 halves over two tokens, as some do with emoji."""


def join_halves(text: str) -> tuple[str, str]:
    """The text with its surrogate pairs joined, and a first half at its end that waits for the next token.

    A half that has lost its other half becomes U+FFFD, so that the text can be sent and stored as UTF-8.
    """
    if text.isascii():
        return text, ""
    half = text[-1] if "\ud800" <= text[-1] <= "\udbff" else ""
    whole = text.removesuffix(half)
    return whole.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"), half
