"""Documents: left here, translated in the background, fetched once."""

from __future__ import annotations

import asyncio
from pathlib import PurePath

import msgspec
from starlette.background import BackgroundTask
from starlette.datastructures import UploadFile
from starlette.responses import Response

from ogam import documents
from ogam.capabilities.translation import TranslateRequest, TranslateResult
from ogam.documents import formats
from ogam.errors import EngineError, InvalidRequestError, OgamError, UnsupportedOptionError
from ogam.gateway.dispatch import Gateway
from ogam.protocols.deepl import convert, errors, passing_documents, wire
from ogam.protocols.deepl.state import read, state
from ogam.protocols.deepl.translating import Order, carry_out, languages
from ogam.protocols.deepl.uploads import Upload
from ogam.protocols.serving import Call, Patient, Route, reply

_PAGES = "https://developers.deepl.com/api-reference/document"
# An engine that failed is asked once more; then the document has failed.
_TRIES = 2
# The SDK asks at once and then every five seconds: a document soon done is waited for.
_WAIT = 3.0


async def upload(call: Call) -> Response:
    """Keep a document and begin."""
    if not call.gateway.forwards(call.protocol.name):
        return await _keep(call)
    await call.request.body()  # while the client sends it: what follows may take long
    return Patient(_left(call), lambda error: errors.failure(error, call))


async def _left(call: Call) -> Response:
    passed = await passing_documents.upload(call)
    return passed if passed is not None else await _keep(call)


async def _keep(call: Call) -> Response:
    form, data, sent = await _parts(call)
    name = form.filename or sent
    if not data:
        raise InvalidRequestError("The document is empty.", param="file")
    ending = PurePath(name).suffix.lstrip(".").lower() or formats.sniff(data)
    formats.check(ending)
    _check_output(form.output_format, ending)
    convert.check(form)
    known = await languages(call.gateway, call.model(None))
    source = known.source(form.source_lang)
    target = known.target(form.target_lang, source)
    known.check_formality(form.formality, form.target_lang)
    ids = tuple(convert.glossary_ids(form))
    own = state(call.gateway)
    if source is not None:
        await asyncio.to_thread(own.glossaries.terms, ids, source, target)
    about = Upload(
        id="",
        key_hash="",
        name=PurePath(name).name,
        ending=ending,
        created=0,
        target=target,
        source=source,
        formality=form.formality,
        glossary_ids=ids,
    )
    made, key = await asyncio.to_thread(own.uploads.create, data, about)
    _begin(call.gateway, made)
    return reply(wire.DocumentHandle(document_id=made.id, document_key=key))


async def status(call: Call) -> Response:
    """How far a document is."""
    passed = await passing_documents.status(call)
    if passed is not None:
        return passed
    own = state(call.gateway)
    about = await _asked(call)
    if about.status == "queued":
        _begin(call.gateway, about)
        await asyncio.wait({own.running[about.id]}, timeout=_WAIT)
        about = await _asked(call)
    told = wire.DocumentStatus(document_id=about.id, status=about.status)
    if about.status == "queued" and about.tries:
        told.status = "translating"
    elif about.status == "done":
        told.billed_characters = about.characters
    elif about.status == "error":
        told.error_message = about.error
    return reply(told)


async def result(call: Call) -> Response:
    """The translated document; after it is sent, it is deleted."""
    passed = await passing_documents.result(call)
    if passed is not None:
        return passed
    own = state(call.gateway)
    about = await _asked(call)
    if about.status == "error":
        raise InvalidRequestError(f"The document could not be translated: {about.error}")
    if about.status != "done":
        raise errors.NotReadyError("The document is not ready yet.", hint="Ask for its status.")
    data = await asyncio.to_thread(own.uploads.result, about)

    def sent() -> None:
        own.uploads.delete(about)

    response = reply(data, media_type=formats.content_type(about.ending))
    response.background = BackgroundTask(asyncio.to_thread, sent)
    return response


async def _parts(call: Call) -> tuple[wire.DocumentForm, bytes, str]:
    """The form's fields, the file and the name it came with."""
    parts = await call.form()
    try:
        file = parts.get("file")
        if file is None:
            raise InvalidRequestError("The form has no file.", param="file")
        texts = [(name, one) for name, one in parts.multi_items() if isinstance(one, str)]
        form = wire.from_fields([one for one in texts if one[0] != "file"], wire.DocumentForm)
        if isinstance(file, UploadFile):
            return form, await file.read(), file.filename or ""
        return form, file.encode(), ""
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"The form is wrong: {error}.") from None
    finally:
        await parts.close()


async def _asked(call: Call) -> Upload:
    key = (await read(call, wire.DocumentKey)).document_key
    return await asyncio.to_thread(state(call.gateway).uploads.get, call.params["document_id"], key)


def _check_output(wanted: str | None, ending: str) -> None:
    same = {"htm": "html", "xlf": "xliff"}
    asked = (wanted or ending).lstrip(".").lower()
    if same.get(asked, asked) != same.get(ending, ending):
        raise UnsupportedOptionError(
            f"A {ending} document is not turned into {asked} here.",
            hint="Leave output_format out.",
            param="output_format",
        )


def _begin(gateway: Gateway, about: Upload) -> None:
    running = state(gateway).running
    if about.id in running:
        return
    task = asyncio.create_task(_translate(gateway, about))
    running[about.id] = task
    task.add_done_callback(lambda _: running.pop(about.id, None))


async def _translate(gateway: Gateway, about: Upload) -> None:
    own = state(gateway)
    async with own.turns:
        about = msgspec.structs.replace(about, tries=about.tries + 1)
        await asyncio.to_thread(own.uploads.save, about)
        try:
            done = await _made(gateway, about)
        except EngineError as error:
            # Perhaps the server is only being stopped: then it goes on after the next start.
            if about.tries >= _TRIES:
                await _failed(gateway, about, str(error))
        except OgamError as error:
            await _failed(gateway, about, str(error))
        except Exception as error:
            await _failed(gateway, about, f"Something failed here: {type(error).__name__}.")
        else:
            await asyncio.to_thread(own.uploads.finish, *done)


async def _made(gateway: Gateway, about: Upload) -> tuple[Upload, bytes]:
    own = state(gateway)
    data = await asyncio.to_thread(own.uploads.input, about)
    document = await asyncio.to_thread(
        documents.read, data, about.ending, source=about.source, target=about.target
    )
    terms = (
        await asyncio.to_thread(
            own.glossaries.terms, about.glossary_ids, about.source, about.target
        )
        if about.source
        else []
    )
    order = Order(
        about.target,
        about.source,
        formality=msgspec.convert(about.formality, wire.Formality),
        terms=terms,
    )

    async def ask(request: TranslateRequest) -> TranslateResult:
        return await gateway.answer("translate", request, TranslateResult, None)

    done = await carry_out(ask, document.segments, order)
    made = await asyncio.to_thread(document.write, done.pieces)
    return msgspec.structs.replace(about, status="done", characters=document.characters), made


async def _failed(gateway: Gateway, about: Upload, why: str) -> None:
    failed = msgspec.structs.replace(about, status="error", error=why)
    await asyncio.to_thread(state(gateway).uploads.save, failed)


ROUTES = (
    Route(
        method="POST",
        path="/v2/document",
        handler=upload,
        summary="Upload a document to translate.",
        page=_PAGES,
        form=wire.DocumentForm,
        file="file",
        reply=wire.DocumentHandle,
    ),
    Route(
        method="POST",
        path="/v2/document/{document_id}",
        handler=status,
        summary="Ask how far a document is.",
        page=_PAGES,
        body=wire.DocumentKey,
        reply=wire.DocumentStatus,
    ),
    Route(
        method="POST",
        path="/v2/document/{document_id}/result",
        handler=result,
        summary="Fetch a translated document; it is deleted then.",
        page=_PAGES,
        body=wire.DocumentKey,
    ),
)
