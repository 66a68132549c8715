"""Values to Google Vision's wire types and back."""

from __future__ import annotations

import io

import msgspec
import pytest
from google.cloud import vision
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PILImage

from ogam.capabilities import vision as see
from ogam.capabilities.base import Units
from ogam.media import Image
from ogam.protocols.google import grpc, protojson
from ogam.protocols.google_vision import convert, convert_text, wire

WIDTH, HEIGHT = 400, 200
places = st.integers(0, 200).map(float)
polygons = st.builds(see.Polygon.box, places, places, places, places)
# Exact in the six digits and in the protocol buffer's float.
shares = st.integers(0, 64).map(lambda one: one / 64)
letters = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=2)


def some(strategy):
    return st.lists(strategy, min_size=1, max_size=3).map(tuple)


symbols = st.builds(
    see.Symbol,
    text=letters,
    polygon=polygons,
    confidence=shares,
    break_after=st.sampled_from(["", "space", "line"]),
)
words = st.builds(see.TextWord, symbols=some(symbols), polygon=polygons, confidence=shares)
paragraphs = st.builds(see.Paragraph, words=some(words), polygon=polygons, confidence=shares)
blocks = st.builds(see.Block, paragraphs=some(paragraphs), polygon=polygons, confidence=shares)
pages = st.builds(
    see.Page,
    width=st.just(WIDTH),
    height=st.just(HEIGHT),
    blocks=some(blocks),
    languages=st.lists(st.sampled_from(["en", "ko", "zh-Hant"]), unique=True).map(tuple),
)
documents = st.builds(see.DocumentText, text=letters, pages=st.tuples(pages))
faces = st.builds(
    see.Face,
    polygon=polygons,
    confidence=shares,
    smile=st.sampled_from(["unknown", "very_unlikely", "possible", "very_likely"]),
    landmarks=some(
        st.builds(
            see.Landmark,
            name=st.sampled_from(["LEFT_EYE", "MOUTH_CENTER"]),
            point=st.builds(see.Point, x=places, y=places),
        )
    ),
)
channels = st.integers(0, 255)
colors = st.builds(
    see.Color, red=channels, green=channels, blue=channels, score=shares, pixel_fraction=shares
)
crops = st.builds(see.CropHint, polygon=polygons, confidence=shares, importance=shares)


def image():
    buffer = io.BytesIO()
    PILImage.new("RGB", (WIDTH, HEIGHT)).save(buffer, "PNG")
    return Image(buffer.getvalue())


IMAGE = image()
EVERY = {name: wire.Feature(type_=name, max_results=9) for name in convert.FEATURES}


@given(documents, some(faces), some(colors), some(crops))
def test_findings_come_back_from_json_and_from_a_protocol_buffer(document, face, color, crop):
    result = see.SeeResult(
        engine="e",
        model="e",
        units=Units(),
        image=IMAGE,
        features=see.FEATURES,
        document=document,
        faces=face,
        colors=color,
        crop_hints=crop,
    )
    made = convert.response(result, EVERY, (WIDTH, HEIGHT))
    json = protojson.parse(msgspec.json.encode(made), wire.AnnotateImageResponse)
    message = vision.AnnotateImageResponse.pb()(**grpc.fields(made))
    sent = type(message).FromString(message.SerializeToString())
    proto = protojson.convert(grpc.from_message(sent), wire.AnnotateImageResponse)
    for one in (json, proto):
        found = convert.found_of(one, (WIDTH, HEIGHT))
        assert found["document"] == document
        assert found["colors"] == color
        assert found["crop_hints"] == crop
    assert convert.found_of(json, (WIDTH, HEIGHT))["faces"] == face


@given(polygons)
def test_a_place_in_parts_stays_inside_and_comes_back(polygon):
    made = convert_text.normalized(polygon, (WIDTH, HEIGHT))
    assert all(0 <= one.x <= 1 and 0 <= one.y <= 1 for one in made.normalized_vertices)
    back = convert_text.polygon_of(made, (WIDTH, HEIGHT))
    for own, found in zip(polygon.points, back.points, strict=True):
        assert found.x == pytest.approx(min(own.x, WIDTH), abs=0.01)
        assert found.y == pytest.approx(min(own.y, HEIGHT), abs=0.01)


@given(
    st.lists(st.sampled_from(list(convert.FEATURES.values())), unique=True, min_size=1),
    st.lists(st.sampled_from(["en", "ko"])),
    st.integers(1, 50),
)
def test_a_request_comes_back(features, languages, most):
    request = see.SeeRequest(
        image=IMAGE, features=tuple(features), languages=tuple(languages), max_results=most
    )
    sent = convert.request_of(request)
    wanted = convert.wanted(sent.features)
    back = convert.see_request(
        Image(sent.image.content),
        tuple(convert.FEATURES[name] for name in wanted),
        sent.image_context,
        max(one.max_results for one in wanted.values()),
    )
    assert back == request


def test_the_end_of_a_line_is_told_from_the_end_of_a_paragraph():
    def word(text, after):
        polygon = see.Polygon.box(0, 0, 9, 9)
        symbol = see.Symbol(text=text, polygon=polygon, confidence=1.0, break_after=after)
        return see.TextWord(symbols=(symbol,), polygon=polygon, confidence=1.0)

    box = see.Polygon.box(0, 0, 9, 9)
    every = (word("a", "space"), word("b", "line"), word("c", "line"))
    paragraph = see.Paragraph(words=every, polygon=box, confidence=1.0)
    block = see.Block(paragraphs=(paragraph,), polygon=box, confidence=1.0)
    page = see.Page(width=9, height=9, blocks=(block,))
    made = convert_text.text(see.DocumentText(text="a b\nc", pages=(page,)))
    breaks = [
        one.symbols[0].property.detected_break.type_
        for one in made.pages[0].blocks[0].paragraphs[0].words
    ]
    assert breaks == ["SPACE", "EOL_SURE_SPACE", "LINE_BREAK"]


def test_findings_make_labels_where_no_model_gave_any():
    def result(features):
        return see.SeeResult(
            engine="e",
            model="e",
            units=Units(),
            image=IMAGE,
            features=features,
            objects=(
                see.DetectedObject(name="Cat", score=0.5, polygon=see.Polygon.box(0, 0, 9, 9)),
                see.DetectedObject(name="Cat", score=0.75, polygon=see.Polygon.box(0, 0, 9, 9)),
            ),
        )

    found = convert.labels(result(("objects",)))
    assert [(one.description, one.score) for one in found] == [("Cat", 0.75)]
    assert convert.labels(result(("objects", "labels"))) == []
