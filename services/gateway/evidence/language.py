"""Tells English from other languages, in which names are spelled or capitalised in other ways."""

from collections import Counter

_ENGLISH_WORDS = "the of and to in is for with that on are be or as by from at this it we our was were has"
_OTHER_WORDS = """
    der die das und ist nicht ein eine mit von zu den dem des auf für im sich wird werden
    le la les du et est dans pour que qui une par sur au el los las y en de por una con se
    il lo gli di che per del nella
    het een van voor niet met og er af til på och är som att med i w na z się do jest
"""
_ENGLISH = frozenset(_ENGLISH_WORDS.split())
_OTHERS = frozenset(_OTHER_WORDS.split())
_LEAST = 2


def is_english(words: Counter[str]) -> bool:
    """Return whether these words, in lower case and with how often they come, are of an English text."""
    english = sum(words[word] for word in _ENGLISH)
    return english >= _LEAST and english > sum(words[word] for word in _OTHERS)
