"""Tells the language of a text, or of a question: by its script, or by the small words that every sentence has."""

import re
from collections import Counter
from collections.abc import Mapping

READ_CHARS = 20_000
"""Of a document: a few pages are enough."""
MIN_WORDS = 20
"""With fewer it is a guess."""
MIN_SHARE = 0.08
"""Of all words. Prose has 30 to 50 % small words, pages of figures and names far fewer."""
MIN_DIFFERENT = 4
"""Small words. In figures of an English report `per` and `a` may be all, and Italian has both."""
AHEAD = 1.3
"""How many times as many as of any other language."""
QUESTION_AHEAD = 2
"""So many small words, or letters of its own, more than any other language has in a question."""

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
"""Scripts that stand for a language, or nearly: Persian, Bulgarian or Marathi are taken for their larger neighbours."""
_CYRILLIC = re.compile("[\u0400-\u04ff]")
_UKRAINIAN, _RUSSIAN = re.compile("[іїєґ]", re.IGNORECASE), re.compile("[ыэёъ]", re.IGNORECASE)
"""Letters that one of the two has and the other has not: most of their small words are the same."""
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
        "da": "og i at det er en til af på den for der med de som ikke har et af var men sig om vi fra eller",
        "pl": "w i na z się że do nie to jest o jak od po za przez dla oraz są tego ale czy być który tym",
        "ru": "и в не на что с по к как это из от за для его но все а о у же так или при до",
        "uk": "і в не на що з до та як це від за для його але все а про у ж так або при є",
    }.items()
}
_ASKING_WORDS = {
    language: frozenset(words.split())
    for language, words in {
        "en": "what who whom whose when where why how many much does do did can could should must will would has "
        "had were been there their if any after before during between into about my your its they you i me "
        # In other languages they are small words too, and would make one of `AI cost per seat`.
        "per all over under plus par van ai come man men min sin son than so",
        "de": "wie was wer wem wen wessen wo wohin woher woran womit wofür wodurch wann warum wieso welche welcher "
        "welches welchen welchem viel viele kann können darf dürfen muss müssen soll sollen hat haben sind "
        "wird wurde wurden gibt einem einen einer eines man ich mein meine ob wenn nach vor bei bis über "
        "unter zum zur vom am",
        "fr": "quel quelle quels quelles comment combien où quand quoi pourquoi faut peut doit puis je mon ma mes "
        "elle ils elles cette ces cet après avant entre sans ses son leur leurs y on si sont ont été l d qu n "
        "s",
        "es": "qué cómo cuál cuáles cuándo cuando dónde donde cuánto cuánta cuántos cuántas quién quiénes quien por "
        "hay puede pueden puedo debe deben tiene tienen son está están hasta desde después antes entre sin mi "
        "mis si no ya",
        "it": "cosa chi come quando dove perché quale quali qual quanto quanta quanti quante posso può possono devo "
        "deve ha hanno ci dopo prima tra fra senza mio mia se lo l d dell nell all sull dal dalla nella sul "
        "ai",
        "pt": "quem quando onde qual quais quanto quanta quantos quantas posso pode podem devo deve há tem têm é "
        "está até depois antes entre sem meu minha pelo pela nos nas",
        "nl": "wat wie waar wanneer waarom hoe welke welk hoeveel kan kunnen mag mogen moet moeten heeft hebben "
        "wordt worden ik mijn na naar tot tussen zonder over deze dit die",
        "sv": "vad vem när varför hur vilken vilket vilka många mycket kan får måste ska finns min mitt efter före "
        "under mellan utan vid man är",
        "da": "hvad hvem hvor hvornår hvorfor hvordan hvilken hvilket hvilke mange meget kan må skal findes min mit "
        "efter før under mellem uden ved man bliver",
        "ru": "какой какая какое какие каких каким какую когда где куда откуда почему зачем сколько кто чем ли "
        "можно нужно есть был была было были быть если после перед между без со во об они он она мы вы я мой",
        "ar": "ما ماذا من متى أين كيف كم هل لماذا أي عن في على إلى مع أو إذا هو هي كان هذا هذه الذي التي بعد قبل",
    }.items()
}
"""Those that questions have besides: a question has few words."""
_OWN_LETTERS = {
    "en": "",
    "nl": "",
    "de": "äöüß",
    "fr": "àâçèêëîïôùûœ",
    "es": "áíóúñ¿¡",
    "it": "àèìòù",
    "pt": "áâãçêíóõú",
    "sv": "äåö",
    "da": "åæø",
}
_QUESTION_WORDS = {
    language: _SMALL_WORDS.get(language, frozenset()) | asking for language, asking in _ASKING_WORDS.items()
}
_FOREIGN_SCRIPTS = {"ru": _CYRILLIC, "ar": _SCRIPTS["ar"], "el": _SCRIPTS["el"]}
_LATIN = re.compile("[A-Za-z]")
_WORD = re.compile(r"[^\W\d_]+")
_GENITIVE = re.compile(r"(?<=\w)['\u2019]s\b")
"""French has a word `s` too, but before the apostrophe."""
_SYMBOL = re.compile(r"(?<![^\W\d_])[dlns](?![^\W\d_]|['\u2019][^\W\d_])")
"""French and Italian have words of one consonant, but only with the next word behind an apostrophe: `l'AI`. Else it is
a unit, a size or a side, in any language."""


def find_language(text: str) -> str | None:
    """Return the ISO 639-1 code of the language that most of a text is in; None where that cannot be told."""
    letters = sum(map(str.isalpha, text))
    for language, script in _SCRIPTS.items():
        if len(script.findall(text)) > (_KANA_SHARE if language == "ja" else 0.5) * letters:
            return language
    if len(_CYRILLIC.findall(text)) > 0.5 * letters:
        if not _UKRAINIAN.search(text):
            return "ru"
        if not _RUSSIAN.search(text):
            return "uk"
    words = Counter(_WORD.findall(text.lower()))
    found = sorted((sum(words[word] for word in small), language) for language, small in _SMALL_WORDS.items())
    (second, _), (most, language) = found[-2:]
    if words.total() < MIN_WORDS or most < MIN_SHARE * words.total() or most < AHEAD * second:
        return None
    return language if len(words.keys() & _SMALL_WORDS[language]) >= MIN_DIFFERENT else None


def list_small_words(language: str) -> frozenset[str]:
    """Return words of a language that say nothing of what a text is about."""
    return _QUESTION_WORDS.get(language, frozenset())


def tell_question(question: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the languages that a question surely has words of, and those that it may be in, where none is sure.

    Scripts tell Russian, Arabic and Greek. Words in Latin letters are in the language whose small words and letters
    they have; with none of any language they may be in each of them, and English is not named then.
    """
    return _judge(question, _count_points(question))


def tell_language(question: str) -> str | None:
    """Return the one language that most likely is a question's; None where there is more than one, or none."""
    points = _count_points(question)
    told, possible = _judge(question, points)
    if not told and len(possible) == 1:
        told = frozenset(language for language in possible if points[language] > points["en"])
    return next(iter(told)) if len(told) == 1 else None


def _judge(question: str, points: Mapping[str, int]) -> tuple[frozenset[str], frozenset[str]]:
    told = {language for language, script in _FOREIGN_SCRIPTS.items() if script.search(question)}
    if not _LATIN.search(question):
        return frozenset(told), frozenset()
    ranked = sorted(points.values(), reverse=True)
    best = {language for language, count in points.items() if count == ranked[0]}
    if ranked[0] - ranked[1] >= QUESTION_AHEAD:
        return frozenset(told | best), frozenset()
    return frozenset(told), frozenset() if told else frozenset(best - {"en"})


def _count_points(question: str) -> Mapping[str, int]:
    """Small words and letters of its own that a question has of each language in Latin letters."""
    words = _WORD.findall(_SYMBOL.sub("", _GENITIVE.sub("", question.lower())))
    letters = set(question.lower())
    return {
        language: sum(word in _QUESTION_WORDS[language] for word in words) + len(letters.intersection(own))
        for language, own in _OWN_LETTERS.items()
    }
