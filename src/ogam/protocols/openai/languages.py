"""The English names of languages, as ``verbose_json`` tells them.

ISO 639-1 (https://www.loc.gov/standards/iso639-2/php/code_list.php), of the languages that
OpenAI says its recognition knows.
https://developers.openai.com/api/docs/guides/speech-to-text#supported-languages
"""

from __future__ import annotations

_TABLE = """
    af:afrikaans ar:arabic az:azerbaijani be:belarusian bg:bulgarian bs:bosnian ca:catalan
    cs:czech cy:welsh da:danish de:german el:greek en:english es:spanish et:estonian fa:persian
    fi:finnish fr:french gl:galician he:hebrew hi:hindi hr:croatian hu:hungarian hy:armenian
    id:indonesian is:icelandic it:italian ja:japanese kk:kazakh kn:kannada ko:korean
    lt:lithuanian lv:latvian mi:maori mk:macedonian mr:marathi ms:malay ne:nepali nl:dutch
    no:norwegian pl:polish pt:portuguese ro:romanian ru:russian sk:slovak sl:slovenian sr:serbian
    sv:swedish sw:swahili ta:tamil th:thai tl:tagalog tr:turkish uk:ukrainian ur:urdu
    vi:vietnamese zh:chinese
"""
_NAMES = {pair[:2]: pair[3:] for pair in _TABLE.split()}
_TAGS = {name: tag for tag, name in _NAMES.items()}


def name(tag: str | None) -> str:
    """The name of a BCP-47 tag's language; the tag itself where it is none of these."""
    if not tag:
        return "unknown"
    return _NAMES.get(tag.lower().split("-")[0], tag)


def tag(name: str) -> str | None:
    """The BCP-47 tag of a language by its English name, or of a tag; None for "unknown"."""
    asked = name.strip().lower()
    if asked in _NAMES or not asked or asked == "unknown":
        return asked if asked in _NAMES else None
    return _TAGS.get(asked, name.strip())
