"""What the Hugging Face hub says of a model: its commit, its files and their hashes, its licence.

``HF_ENDPOINT``, ``HF_TOKEN``, the token file and ``HF_HUB_OFFLINE`` mean here what they mean to
``huggingface_hub``, which does the asking. Fetches no file (see :mod:`ogam.models.download`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import msgspec

from ogam.errors import ConfigurationError, DownloadError, InvalidRequestError, NotFoundError
from ogam.extras import needs

_LOG_IN = (
    "Set HF_TOKEN to a token of yours, or run: hf auth login. Tokens are made at "
    "https://huggingface.co/settings/tokens."
)


class RemoteFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a repository at one commit.

    ``size`` in bytes. ``digest`` in hex: the sha256 of the file, or, where ``git`` is set, the
    sha1 that git gives it as a blob.
    """

    repository: str
    name: str
    url: str
    size: int
    digest: str
    git: bool


class Repository(msgspec.Struct, frozen=True, kw_only=True):
    """A model's repository at one commit; ``page`` is the address of just that commit."""

    name: str
    commit: str
    page: str
    licence: str
    files: dict[str, RemoteFile]


def endpoint() -> str:
    """The hub's address, without a slash at its end."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


def repository_name(source: str) -> str:
    """``owner/name`` out of what a user gives, which may be the address of a page of the hub."""
    name = source.removeprefix("hf:")
    for start in (endpoint(), "https://huggingface.co", "https://hf.co"):
        if name.startswith(start + "/"):
            name = name.removeprefix(start + "/").rstrip("/")
    if not re.fullmatch(r"(\w[\w.-]*/)?\w[\w.-]*", name, re.ASCII) or ".." in name or "--" in name:
        raise InvalidRequestError(
            f"{source!r} is no name of a model on the hub.",
            hint="Write owner/name; a folder starts with ./ or /.",
        )
    return name


def look(name: str, revision: str | None) -> Repository:
    """Ask the hub for a repository. ``revision`` is a branch, tag or commit; None: the default.

    Raises NotFoundError, ConfigurationError (no access, or a token is missing), DownloadError.
    """
    with needs("local"):
        from huggingface_hub import HfApi, constants

    with hub_errors(name, revision):
        found: Any = HfApi(endpoint=endpoint(), library_name="ogam").model_info(
            name,
            revision=revision,
            files_metadata=True,
            timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
        )
        page = f"{endpoint()}/{found.id}"
        files = [_file(one, found.id, f"{page}/resolve/{found.sha}") for one in found.siblings]
        if not re.fullmatch(r"[0-9a-f]{40}", found.sha):
            raise ValueError("no commit")
        return Repository(
            name=found.id,
            commit=found.sha,
            page=f"{page}/tree/{found.sha}",
            licence=_licence(found),
            files={file.name: file for file in files},
        )


@contextmanager
def hub_errors(name: str, revision: str | None = None) -> Generator[None]:
    """Turn whatever ``huggingface_hub`` raises inside the block into one line of ours."""
    with needs("local"):
        import httpx2
        from huggingface_hub import errors, get_token
    try:
        yield
    except errors.OfflineModeIsEnabled:
        raise DownloadError(
            "The hub is not asked, because HF_HUB_OFFLINE is set.",
            hint="What was pulled before works without it; to pull more, unset it.",
        ) from None
    except errors.RevisionNotFoundError:
        raise NotFoundError(
            f"{name} has no revision {revision!r}.",
            hint=f"Its branches and commits are at {endpoint()}/{name}/commits.",
        ) from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        gated = isinstance(error, errors.GatedRepoError)
        if status in (401, 403) and (gated or status == 403):
            raise _gated(name, has_token=bool(get_token())) from None
        if status == 401 and not isinstance(error, errors.RepositoryNotFoundError) and get_token():
            raise ConfigurationError(
                f"The hub at {endpoint()} does not accept your token.", hint=_LOG_IN
            ) from None
        if status in (401, 404):
            raise NotFoundError(
                f"The hub has no model {name!r}, or it is a private one.",
                hint=f"Look at {endpoint()}/{name}. {'' if get_token() else _LOG_IN}",
            ) from None
        raise DownloadError(
            f"The hub at {endpoint()} answered {status} for {name}.", hint="Try again later."
        ) from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise DownloadError(
            f"The hub at {endpoint()} cannot be reached: {error or type(error).__name__}.",
            hint="Look at the network and at HF_ENDPOINT; what was pulled before works without.",
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DownloadError(
            f"{endpoint()} does not answer as the hub does.", hint="Look at HF_ENDPOINT."
        ) from None


def _gated(name: str, *, has_token: bool) -> ConfigurationError:
    page = f"{endpoint()}/{name}"
    if has_token:
        return ConfigurationError(
            f"{name} is gated, and your token does not open it.",
            hint=f"Ask for access at {page}, with the account the token belongs to.",
        )
    return ConfigurationError(
        f"{name} is gated: it wants a token, and there is none.",
        hint=f"Accept its terms at {page}. {_LOG_IN}",
    )


def _file(sibling: Any, repository: str, base: str) -> RemoteFile:
    from urllib.parse import quote

    lfs = sibling.lfs
    digest = lfs.sha256 if lfs is not None else sibling.blob_id
    size = lfs.size if lfs is not None else sibling.size
    wanted = r"[0-9a-f]{64}" if lfs is not None else r"[0-9a-f]{40}"
    # It becomes the name of a file here.
    if not re.fullmatch(wanted, digest) or type(size) is not int or size < 0:
        raise ValueError("no hash")
    name: str = sibling.rfilename
    return RemoteFile(
        repository=repository,
        name=name,
        url=f"{base}/{quote(name)}",
        size=size,
        digest=digest,
        git=lfs is None,
    )


def _licence(found: Any) -> str:
    card: Any = found.card_data or {}
    licence = card.get("license")
    if isinstance(licence, list):
        licence = ", ".join(map(str, licence))  # pyright: ignore[reportUnknownArgumentType,reportUnknownVariableType]
    if licence == "other":
        licence = card.get("license_name") or card.get("license_link") or licence
    return str(licence) if licence else "unknown"
