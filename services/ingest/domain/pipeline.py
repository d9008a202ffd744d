"""The name of what versions are made with: with another one the same PDF would become other points."""

PIPELINE = "10"
"""Raised whenever chunking changes, the text that is embedded, how words become terms, or what a point or a card has.
How a PDF is read has a version of its own, `PdfParser.version`, and so has how a text becomes a vector:
`Embedder.model_id`."""


def name_pipeline(parser_version: str, model_id: str) -> str:
    """Return the name of the present code with this parser and this model."""
    return f"{parser_version}.{PIPELINE}.{model_id}".replace("-", "_")
