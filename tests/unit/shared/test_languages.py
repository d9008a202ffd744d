"""The language of a text is told where it can be, and not guessed where it cannot."""

import pytest

from shared.languages import find_language, tell_language, tell_question


@pytest.mark.parametrize(
    ("language", "text"),
    [
        (
            "en",
            "The company recognises revenue when control of the goods is passed to the customer, which is at the time"
            " of delivery, and not before that.",
        ),
        (
            "de",
            "Die Gesellschaft erfasst den Umsatz, wenn die Verfügung über die Waren auf den Kunden übergeht; das ist im"
            " Zeitpunkt der Lieferung und nicht eher der Fall.",
        ),
        (
            "fr",
            "La société constate le produit des ventes au moment où le contrôle des biens est transféré au client, ce"
            " qui est le cas à la livraison et pas avant.",
        ),
        (
            "es",
            "La empresa reconoce los ingresos cuando el control de los bienes se transfiere al cliente, lo que ocurre"
            " en el momento de la entrega y no antes, como se dice en la nota 3.",
        ),
        (
            "nl",
            "De onderneming verantwoordt de omzet op het moment dat de zeggenschap over de goederen aan de klant is"
            " overgedragen, en dat is bij de levering en niet eerder.",
        ),
        (
            "ru",
            "Компания признаёт выручку в тот момент, когда контроль над товарами переходит к покупателю, то есть при"
            " доставке, а не до неё, как это указано в примечании и на странице 3, и не из того, что было на складе.",
        ),
        ("ja", "当社は、商品の支配が顧客に移転した時点で収益を認識しています。"),
        ("zh", "本公司在商品控制权转移给客户时确认收入。"),
        ("ko", "회사는 재화의 통제가 고객에게 이전되는 시점에 수익을 인식한다."),
        ("el", "Η εταιρεία αναγνωρίζει τα έσοδα κατά τη στιγμή της παράδοσης."),
        (None, "4,200 17.5 % 31/12/2023 EUR 1,020 EUR 3,040 Q4 Q3 Q2 Q1 2023 2022 2021"),
        (None, "the of and"),
        (None, " ".join(["per share a basic diluted 2019 per cent", "in thousands"] * 6)),
        (None, ""),
        (None, " ".join(["Sensor", "Ventil", "Pumpe", "Motor", "Kabel"] * 20)),
    ],
)
def test_a_language_is_told_by_its_small_words_or_its_script(language: str | None, text: str) -> None:
    """Figures, names and a few words are no language."""
    assert find_language(text) == language


@pytest.mark.parametrize(
    ("question", "told", "possible"),
    [
        ("What does fault code E17 mean in the manual?", {"en"}, set()),
        ("Wie hoch ist das Haus?", {"de"}, set()),
        ("¿Dónde está la biblioteca?", {"es"}, set()),
        ("Quelle est la durée de la garantie ?", {"fr"}, set()),
        ("Onde está a garantia e por que não vale mais?", {"pt"}, set()),
        ("Dov'è la biblioteca e quando apre?", {"it"}, set()),
        ("Hoe lang duurt de garantie van het apparaat?", {"nl"}, set()),
        ("Где находится библиотека?", {"ru"}, set()),
        ("متى تفتح المكتبة؟", {"ar"}, set()),
        ("Что значит E17?", {"ru"}, set()),
        ("起重机能吊多少吨?", set(), set()),
        ("17 %", set(), set()),
        ("Who founded Nike?", set(), set()),
        ("was ist E17", set(), {"de"}),
        ("die casting price", set(), {"de", "nl"}),
        ("Nike revenue 2018", set(), {"da", "de", "es", "fr", "it", "nl", "pt", "sv"}),
    ],
)
def test_a_question_tells_its_language_by_few_words(question: str, told: set[str], possible: set[str]) -> None:
    """Where it does not, the languages that it may be in are named, besides English."""
    assert tuple(map(set, tell_question(question))) == (told, possible)


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("Cost per seat", None),
        ("List all milestones from 2019 onwards", None),
        ("interest on loans", None),
        ("Who was Temur's patron's son?", "en"),
        ("Compare the two master's programmes", None),
        ("was ist E17", "de"),
        ("Qu'est-ce que l'amortissement ?", "fr"),
        ("Costo per posto dell'AI", "it"),
        ("Was kostet die Reise?", "de"),
        ("Nike revenue 2018", None),
        ("S/N of unit L", None),
        ("size L2, type 'S', N = 3 and side D", None),
        ("L’entreprise d'Orlava s'agrandit-elle ?", "fr"),
    ],
)
def test_an_english_question_is_not_read_in_the_language_of_one_small_word(question: str, language: str | None) -> None:
    """Its words would be cut to stems of that language, and `from` and `the` count."""
    assert tell_language(question) == language


def test_ukrainian_is_not_taken_for_russian() -> None:
    """Most of their small words are the same; each has letters that the other has not."""
    assert find_language("Бібліотека відкривається о дев'ятій годині в робочі дні тижня.") == "uk"
    assert find_language("Библиотека открывается в девять часов по рабочим дням, журналы там же.") == "ru"
