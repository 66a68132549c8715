"""Documents keep all but their words."""

from __future__ import annotations

import io
import re
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogam import documents
from ogam.documents import formats
from ogam.errors import InvalidMediaError, OgamError, TooLargeError, UnsupportedOptionError
from ogam.markup.segments import translate

etree = pytest.importorskip("lxml.etree")
W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
A = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
P = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
S = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
PICTURE = bytes(range(256)) * 4


def translated(data: bytes, ending: str, translator=str.upper) -> bytes:
    document = documents.read(data, ending, source="en", target="de")
    work = translate(document.segments)
    try:
        texts = next(work)
        while True:
            texts = work.send([translator(text) for text in texts])
    except StopIteration as end:
        return document.write(end.value)


def packed(**parts: str | bytes) -> bytes:
    """A zip; __ in a name stands for / and the last _ for the dot."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in parts.items():
            path = ".".join(name.replace("__", "/").rsplit("_", 1))
            file.writestr(path, content)
    return out.getvalue()


def part(data: bytes, name: str) -> str:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        assert file.testzip() is None
        return file.read(name).decode()


WORD = f"""<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<w:document {W}><w:body><w:p><w:pPr><w:jc w:val="center"/></w:pPr>\
<w:r><w:t xml:space="preserve">the </w:t></w:r><w:r><w:t>bi</w:t></w:r><w:r><w:t>g</w:t></w:r>\
<w:r><w:t xml:space="preserve"> </w:t></w:r>\
<w:r><w:rPr><w:b/></w:rPr><w:t>red</w:t></w:r><w:r><w:tab/><w:t>house</w:t></w:r>\
<w:r><w:instrText>PAGE</w:instrText></w:r><w:del><w:r><w:t>gone</w:t></w:r></w:del></w:p>\
<w:tbl><w:tr><w:tc><w:p><w:r><w:t>cell</w:t></w:r></w:p></w:tc></w:tr></w:tbl>\
<w:p><w:r><w:t>12.50</w:t></w:r></w:p></w:body></w:document>"""


def test_a_word_document_keeps_runs_tables_fields_and_pictures():
    data = packed(
        word__document_xml=WORD,
        word__header1_xml=f"<w:hdr {W}><w:p><w:r><w:t>top</w:t></w:r></w:p></w:hdr>",
        word__media__image1_png=PICTURE,
        word__styles_xml="<anything/>",
    )
    made = translated(data, "docx")
    xml = part(made, "word/document.xml")
    root = etree.fromstring(xml.encode())
    texts = ["".join(one.itertext("{*}t")) for one in root.iter("{*}p")]
    assert texts[0].replace("gone", "") == "THE BIG REDHOUSE"
    assert texts[1:] == ["CELL", "12.50"]
    bold = root.xpath("//*[local-name()='b']/ancestor::*[local-name()='r']/*[local-name()='t']")
    assert [one.text for one in bold] == ["RED"]
    assert "<w:instrText>PAGE</w:instrText>" in xml and "gone" in xml
    assert ">TOP<" in part(made, "word/header1.xml")
    with zipfile.ZipFile(io.BytesIO(made)) as file:
        assert file.namelist() == zipfile.ZipFile(io.BytesIO(data)).namelist()
        assert file.read("word/media/image1.png") == PICTURE
        assert file.read("word/styles.xml") == b"<anything/>"
    # With the words taken out, nothing else differs.
    assert skeleton(xml) == skeleton(WORD)


def skeleton(xml: str) -> bytes:
    root = etree.fromstring(xml.encode())
    for one in root.iter("{*}t"):
        one.text = None
        one.attrib.pop("{http://www.w3.org/XML/1998/namespace}space", None)
    return etree.tostring(root, method="c14n")


def test_slides_keep_their_fields_and_breaks():
    slide = (
        f"<p:sld {P} {A}><p:txBody><a:p><a:r><a:t>hello</a:t></a:r><a:br/>"
        "<a:r><a:t>world</a:t></a:r>"
        '<a:fld type="slidenum"><a:t>seven</a:t></a:fld></a:p></p:txBody></p:sld>'
    )
    data = packed(ppt__presentation_xml="<p/>", ppt__slides__slide1_xml=slide)
    made = part(translated(data, "pptx"), "ppt/slides/slide1.xml")
    assert "<a:t>HELLO</a:t></a:r><a:br/><a:r><a:t>WORLD</a:t>" in made
    assert "<a:t>seven</a:t>" in made


def test_a_sheet_keeps_numbers_formulas_and_its_tables_headers():
    strings = (
        f"<sst {S}><si><t>hello</t></si><si><r><t>red </t></r>"
        "<r><rPr><b/></rPr><t>house</t></r></si>"
        "<si><t>Amount</t></si><si><t>42</t></si><si><t>a</t><rPh><t>b</t></rPh></si></sst>"
    )
    sheet = (
        f'<worksheet {S}><c t="s"><v>0</v></c><c><f>SUM(A1:A2)</f><v>3</v></c>'
        '<c t="inlineStr"><is><t>inline</t></is></c></worksheet>'
    )
    data = packed(
        xl__workbook_xml="<w/>",
        xl__sharedStrings_xml=strings,
        xl__worksheets__sheet1_xml=sheet,
        xl__tables__table1_xml=(
            f'<table {S}><tableColumns><tableColumn name="Amount"/></tableColumns></table>'
        ),
    )
    made = translated(data, "xlsx")
    texts = re.findall("<t[^>]*>([^<]*)</t>", part(made, "xl/sharedStrings.xml"))
    assert texts == ["HELLO", "RED ", "HOUSE", "Amount", "42", "A", "b"]
    inside = part(made, "xl/worksheets/sheet1.xml")
    assert "<f>SUM(A1:A2)</f><v>3</v>" in inside and "<t>INLINE</t>" in inside


def test_xliff_gets_targets_with_the_sources_codes():
    data = b"""<?xml version="1.0" encoding="UTF-8"?>
<xliff xmlns="urn:oasis:names:tc:xliff:document:2.1" version="2.1" srcLang="en"><file id="f">
 <unit id="1"><segment><source>hello <pc id="1">red</pc> <ph id="2"/>house</source></segment></unit>
 <unit id="2" translate="no"><segment><source>stay</source></segment></unit>
 <unit id="3"><segment state="initial"><source>big</source><target>old</target></segment></unit>
</file></xliff>"""
    made = translated(data, "xliff").decode()
    assert '<target>HELLO <pc id="1">RED</pc> <ph id="2"/>HOUSE</target>' in made
    assert "<source>hello <pc" in made and ">stay</source></segment>" in made
    assert "<target>BIG</target>" in made and "old" not in made
    assert 'trgLang="de"' in made
    old = b"""<xliff xmlns="urn:oasis:names:tc:xliff:document:1.2"><file source-language="en"><body>
<trans-unit id="1"><source>hello
<bpt id="1">code</bpt>red<ept id="1">code</ept></source></trans-unit>
</body></file></xliff>"""
    made = translated(old, "xlf").decode()
    assert '<target>HELLO\n<bpt id="1">code</bpt>RED<ept id="1">code</ept></target>' in made
    assert 'target-language="de"' in made


def test_subtitles_keep_numbers_times_marks_and_line_breaks():
    srt = (
        "1\r\n00:00:01,000 --> 00:00:02,500\r\n<i>hello</i> red\r\nhouse\r\n\r\n"
        "2\r\n00:00:03,000 --> 00:00:04,000\r\n{\\an8}now\r\n"
    )
    made = translated(srt.encode("utf-8-sig"), "srt")
    wanted = re.sub("hello|red|house|now", lambda one: one[0].upper(), srt)
    assert made.decode("utf-8-sig") == wanted


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_text_comes_back_in_its_encoding(encoding):
    data = "héllo\r\n\r\n  wörld\n".encode(encoding)
    assert translated(data, "txt").decode(encoding) == "HÉLLO\r\n\r\n  WÖRLD\n"


def test_letters_that_the_old_encoding_lacks_are_not_lost():
    made = translated("héllo".encode("cp1252"), "txt", lambda _: "안녕")
    assert made.decode("utf-8-sig") == "안녕"
    page = '<meta charset="iso-8859-1"><p>h\xe9llo</p>'.encode("latin-1")
    assert translated(page, "html", lambda _: "안").endswith(b"<p>&#50504;</p>")


def test_a_pdf_is_refused_in_words_and_so_is_what_is_unknown():
    for ending in ("pdf", "exe", ""):
        with pytest.raises(UnsupportedOptionError) as found:
            documents.read(b"%PDF-1.7", ending)
        assert found.value.hint


def test_bombs_are_refused(monkeypatch):
    bomb = (
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
        b'<xliff xmlns="urn:oasis:names:tc:xliff:document:2.1"><source>&b;</source></xliff>'
    )
    with pytest.raises(InvalidMediaError, match="document type"):
        documents.read(bomb, "xlf")
    monkeypatch.setattr("ogam.documents.archive._MOST_BYTES", 10_000)
    with pytest.raises(TooLargeError):
        documents.read(packed(word__document_xml=WORD, word__big_xml="x" * 20_000), "docx")
    monkeypatch.setattr("ogam.documents.archive._MOST_XML", 100)
    with pytest.raises(TooLargeError):
        documents.read(packed(word__document_xml=WORD), "docx")


def test_a_file_outside_is_never_read(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret words")
    data = (
        f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY s SYSTEM "{secret.as_uri()}">]>'
        '<xliff xmlns="urn:oasis:names:tc:xliff:document:2.1"><source>&s;</source></xliff>'
    )
    with pytest.raises(InvalidMediaError):
        documents.read(data.encode(), "xlf")


WHOLE = packed(word__document_xml=WORD)


@given(
    st.integers(0, len(WHOLE) - 1), st.integers(0, 255), st.sampled_from(["docx", "xlsx", "pptx"])
)
def test_a_damaged_document_is_refused_in_one_line(at, value, ending):
    data = bytearray(WHOLE)
    data[at] = value
    try:
        translated(bytes(data), ending)
    except OgamError as error:
        assert "\n" not in str(error)


@given(st.binary(max_size=200), st.sampled_from(documents.endings()))
def test_any_bytes_are_read_or_refused(data, ending):
    try:
        translated(data, ending)
    except OgamError as error:
        assert "\n" not in str(error)


def test_a_document_without_a_name_is_told_by_its_content():
    assert formats.sniff(WHOLE) == "docx"
    assert formats.sniff(b"<!DOCTYPE html><p>x") == "html"
    assert formats.sniff(b"%PDF-1.4") == "pdf"
    assert formats.sniff(b"MZ garbage") == ""
