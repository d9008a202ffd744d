"""Tells the language of a text: by its script, or by the small words that every sentence has."""

import re
from collections import Counter

READ_CHARS = 20_000
"""Of a document: a few pages are enough."""
MIN_WORDS = 20
"""With fewer it is a guess."""
MIN_SHARE = 0.08
"""Of all words. Prose has 30 to 50 % small words, pages of figures and names far fewer."""
AHEAD = 1.3
"""How many times as many as of any other language."""

_SCRIPTS = {
    "ja": re.compile("[\u3040-\u30ff]"),
    "ko": re.compile("[\uac00-\ud7af]"),
    "zh": re.compile("[\u4e00-\u9fff]"),
    "el": re.compile("[\u0370-\u03ff]"),
    "he": re.compile("[\u0590-\u05ff]"),
    "ar": re.compile("[\u0620-\u064a]"),
    "hi": re.compile("[\u0900-\u097f]"),
    "th": re.compile("[\u0e00-\u0e7f]"),
}
"""Scripts that stand for a language, or nearly: texts in Persian or Marathi are taken for their larger neighbours."""
_KANA_SHARE = 0.1
"""Of the letters of a Japanese text; most of the others are shared with Chinese."""
_SMALL_WORDS = {
    language: frozenset(words.split())
    for language, words in {
        "en": "the of and to in a is that for it as was with be by on not are this from or have an at which we our",
        "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus",
        "fr": "de la le et les des en un une du que est pour qui dans par sur au plus pas ce sont aux avec il ou",
        "es": "de la que el en y a los se del las un por con una su para es al lo como más o pero sus este",
        "it": "di e il la che in un a è per una con del i non della si le da al sono dei alla nel gli delle",
        "pt": "de a o que e do da em um para com não uma os no se na por mais as dos como ao das à ou são",
        "nl": "de van het een en in is dat op te zijn met voor niet aan er om ook als dan maar bij nog uit door",
        "sv": "och i att det som en på är av för med den till inte om ett har de jag var men sig så vi från",
        "da": "og i at det er en til af den på for der med de som ikke har et af var men sig om vi fra eller",
        "pl": "w i na z się że do nie to jest o jak od po za przez dla oraz są tego ale czy być który tym",
        "ru": "и в не на что с по к как это от из за для его но все а о у же так или при до",
        "uk": "і в не на що з до та як це від із за для його але все а про у ж так або при є",
    }.items()
}


def find_language(text: str) -> str | None:
    """Return the ISO 639-1 code of the language that most of a text is in; None where that cannot be told."""
    letters = sum(map(str.isalpha, text))
    for language, script in _SCRIPTS.items():
        if len(script.findall(text)) > (_KANA_SHARE if language == "ja" else 0.5) * letters:
            return language
    words = Counter(re.findall(r"[^\W\d_]+", text.lower()))
    found = sorted((sum(words[word] for word in small), language) for language, small in _SMALL_WORDS.items())
    (second, _), (most, language) = found[-2:]
    if words.total() < MIN_WORDS or most < MIN_SHARE * words.total() or most < AHEAD * second:
        return None
    return language
