"""The languages of a translation model, from its own codes to BCP-47. Knows no model.

Codes come in ISO 639-1 (``de``), ISO 639-3 (``deu``) and, in NLLB and mBART, with a script or a
country (``deu_Latn``, ``de_DE``).
"""

from __future__ import annotations

from collections.abc import Iterable

# ISO 639-3 to 639-1 where there is one, https://iso639-3.sil.org/code_tables/639/data; of the
# languages that translation models name by a member of a group (arb, zsm), the group's.
_PAIRS = """
    afr:af aka:ak amh:am ara:ar arb:ar asm:as ayr:ay aze:az azj:az bak:ba bam:bm bel:be
    ben:bn bod:bo bos:bs bre:br bul:bg cat:ca ces:cs cmn:zh cym:cy dan:da deu:de dzo:dz
    ell:el eng:en epo:eo est:et eus:eu ewe:ee fao:fo fas:fa pes:fa fij:fj fin:fi fra:fr
    fry:fy gla:gd gle:ga glg:gl grn:gn guj:gu hat:ht hau:ha heb:he hin:hi hrv:hr hun:hu
    hye:hy ibo:ig ind:id isl:is ita:it jav:jv jpn:ja kan:kn kas:ks kat:ka kaz:kk khm:km
    kik:ki kin:rw kir:ky kon:kg kor:ko kur:ku kmr:ku lao:lo lat:la lav:lv lvs:lv lim:li
    lin:ln lit:lt ltz:lb lug:lg mal:ml mar:mr mkd:mk mlg:mg plt:mg mlt:mt mon:mn khk:mn
    mri:mi msa:ms zsm:ms mya:my nep:ne npi:ne nld:nl nno:nn nob:nb nor:no nya:ny oci:oc
    ori:or ory:or orm:om gaz:om pan:pa pol:pl por:pt pus:ps pbt:ps que:qu quy:qu ron:ro
    run:rn rus:ru sag:sg san:sa sin:si slk:sk slv:sl smo:sm sna:sn snd:sd som:so sot:st
    spa:es sqi:sq als:sq srd:sc srp:sr ssw:ss sun:su swa:sw swh:sw swe:sv tam:ta tat:tt
    tel:te tgk:tg tgl:tl tha:th tir:ti tsn:tn tso:ts tuk:tk tur:tr twi:tw uig:ug ukr:uk
    urd:ur uzb:uz uzn:uz vie:vi wol:wo xho:xh yid:yi ydd:yi yor:yo zho:zh zul:zu
"""
_SHORT = {one[:3]: one[4:] for one in _PAIRS.split()}


def tags(codes: Iterable[str]) -> dict[str, str]:
    """BCP-47 tags to a model's own ``codes``, in their order.

    A tag has a script or a country only where its language is there before it: ``zho_Hans`` is
    ``zh``, and ``zho_Hant`` after it ``zh-Hant``.
    """
    found: dict[str, str] = {}
    for code in codes:
        language, _, rest = code.replace("-", "_").partition("_")
        language = _SHORT.get(language.lower(), language.lower())
        tag = f"{language}-{rest}" if language in found and rest else language
        found.setdefault(tag, code)
    return found
