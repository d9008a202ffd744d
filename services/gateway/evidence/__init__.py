"""Looks up in a passage what a sentence that cites it says: figures, dates, names, codes and quotes."""
