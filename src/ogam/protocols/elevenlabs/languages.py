"""ElevenLabs's codes for languages (ISO 639-1 or 639-3), and Ogam's (BCP-47).

The table is of ISO 639 (https://iso639-3.sil.org/code_tables/639/data): its languages with a
two-letter code that speech engines know.
"""

from __future__ import annotations

import re

# ISO 639-1, ISO 639-3, English name
_TABLE = """
af afr Afrikaans|am amh Amharic|ar ara Arabic|as asm Assamese|az aze Azerbaijani|ba bak Bashkir
be bel Belarusian|bg bul Bulgarian|bn ben Bengali|bs bos Bosnian|ca cat Catalan|cs ces Czech
cv chv Chuvash|cy cym Welsh|da dan Danish|de deu German|el ell Greek|en eng English
eo epo Esperanto|es spa Spanish|et est Estonian|eu eus Basque|fa fas Persian|ff ful Fulah
fi fin Finnish|fr fra French|ga gle Irish|gd gla Scottish Gaelic|gl glg Galician|gn grn Guarani
gu guj Gujarati|ha hau Hausa|he heb Hebrew|hi hin Hindi|hr hrv Croatian|ht hat Haitian Creole
hu hun Hungarian|hy hye Armenian|ia ina Interlingua|id ind Indonesian|ig ibo Igbo|io ido Ido
is isl Icelandic|it ita Italian|ja jpn Japanese|jv jav Javanese|ka kat Georgian|kk kaz Kazakh
kl kal Kalaallisut|km khm Khmer|kn kan Kannada|ko kor Korean|ku kur Kurdish|ky kir Kyrgyz
la lat Latin|lb ltz Luxembourgish|lg lug Ganda|ln lin Lingala|lo lao Lao|lt lit Lithuanian
lv lav Latvian|mi mri Māori|mk mkd Macedonian|ml mal Malayalam|mn mon Mongolian|mr mar Marathi
ms msa Malay|mt mlt Maltese|my mya Burmese|nb nob Norwegian Bokmål|ne nep Nepali|nl nld Dutch
no nor Norwegian|ny nya Chichewa|oc oci Occitan|om orm Oromo|or ori Odia|pa pan Punjabi
pl pol Polish|ps pus Pashto|pt por Portuguese|qu que Quechua|ro ron Romanian|ru rus Russian
sd snd Sindhi|si sin Sinhala|sk slk Slovak|sl slv Slovenian|sn sna Shona|so som Somali
sq sqi Albanian|sr srp Serbian|sv swe Swedish|sw swa Swahili|ta tam Tamil|te tel Telugu
tg tgk Tajik|th tha Thai|tk tuk Turkmen|tn tsn Tswana|tr tur Turkish|tt tat Tatar|ug uig Uyghur
uk ukr Ukrainian|ur urd Urdu|uz uzb Uzbek|vi vie Vietnamese|wo wol Wolof|xh xho Xhosa
yo yor Yoruba|zh zho Chinese|zu zul Zulu
"""
_ROWS = [row.split(" ", 2) for row in re.split(r"[|\n]", _TABLE.strip())]
_LONG = {short: long for short, long, _ in _ROWS}
_NAMES = {short: name for short, _, name in _ROWS}
_SHORT = {long: short for short, long, _ in _ROWS} | {"cmn": "zh"}


def base(tag: str) -> str:
    """The language of a tag or code alone, in two letters where it has them: en for eng, en-US."""
    first = re.split("[-_]", tag.strip().lower())[0]
    return _SHORT.get(first, first)


def tag(code: str) -> str:
    """A client's code as BCP-47: en for eng; en-US stays."""
    first, *rest = re.split("[-_]", code.strip())
    return "-".join([_SHORT.get(first.lower(), first.lower()), *rest])


def long(tag: str | None) -> str:
    """ISO 639-3, as transcripts tell their language: eng for en-US, und where it is unknown."""
    if not tag:
        return "und"
    return _LONG.get(base(tag), base(tag))


def name(tag: str) -> str:
    """The language's English name; the code itself where it is not in the table."""
    return _NAMES.get(base(tag), base(tag))
