"""How a call to Google shows who asks: an API key, or a service account's token.

A token is fetched and renewed by google-auth, which blocks, in a thread; however many calls
wait for one, it is asked for once. Knows no protocol.

https://cloud.google.com/docs/authentication/api-keys-use
https://developers.google.com/identity/protocols/oauth2/service-account
"""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from ogam.errors import ConfigurationError, NotConfiguredError, OgamError, VendorError
from ogam.extras import needs
from ogam.vendors import BUILT_IN, Vendor

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"


class Auth:
    """Of one vendor; belongs to the loop that first uses it. Nothing is read before the first call.

    A vendor that is not Google itself is called without a key where none is known.
    """

    def __init__(self, vendor: Vendor) -> None:
        self._vendor = vendor
        self._account: Any = None
        self._work: asyncio.Task[OgamError | None] | None = None

    async def headers(self) -> list[tuple[str, str]]:
        """The headers of a call, names in lower case.

        NotConfiguredError where there are no credentials, ConfigurationError where their file
        is none, VendorError (``sent`` False) where Google gives no token for them.
        """
        own = [(name.lower(), value) for name, value in self._vendor.headers.items()]
        if self._vendor.key:
            return [("x-goog-api-key", self._vendor.key), *own]
        if not self._vendor.credentials:
            self._check_open()
            return own
        await self._renewed()
        return [("authorization", f"Bearer {self._account.token}"), *own]

    async def project(self) -> str:
        """The project that is called: of the configuration, else of the service account."""
        if not self._vendor.project and self._vendor.credentials and not self._vendor.key:
            await self._renewed()
            if self._account.project_id:
                return str(self._account.project_id)
        if not self._vendor.project:
            raise NotConfiguredError(
                f"{self._vendor.name} is not told which project to call.",
                hint=f"Set GOOGLE_CLOUD_PROJECT, or project under [vendors.{self._vendor.name}].",
            )
        return self._vendor.project

    def _check_open(self) -> None:
        name = self._vendor.name
        if not (urlsplit(self._vendor.url).hostname or "").endswith(".googleapis.com"):
            return
        variable = BUILT_IN[name].key_env if name in BUILT_IN else f"key under [vendors.{name}]"
        raise NotConfiguredError(
            f"{name} has no key.",
            hint=f"Set {variable}, or {_VARIABLE} to a service account's JSON file.",
        )

    async def _renewed(self) -> None:
        """Wait for a token where there is none; one that soon ends is renewed while it serves."""
        state = self._account.token_state.name if self._account else "INVALID"
        if state == "STALE":  # for its last 225 seconds
            self._begin()
        if state != "INVALID":
            return
        # Shielded: one call that gives up must not take the token from the others.
        if (failure := await asyncio.shield(self._begin())) is not None:
            raise failure

    def _begin(self) -> asyncio.Task[OgamError | None]:
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(asyncio.to_thread(self._fetch))
        return self._work

    def _fetch(self) -> OgamError | None:
        """Ask for a token. What goes wrong is returned: nobody may be waiting for it."""
        try:
            with needs("grpc"):
                import requests
                from google.auth import exceptions
                from google.auth.transport.requests import Request
            account = self._account or self._load()
            try:
                with requests.Session() as session:
                    ask: Any = partial(Request(session), timeout=self._vendor.timeout)  # pyright: ignore
                    account.refresh(ask)
            except exceptions.RefreshError as error:
                return self._failed(f"gives no token: {error.args[0]}", 401)
            except exceptions.GoogleAuthError as error:
                return self._failed(f"could not be asked for a token: {type(error).__name__}")
        except OgamError as error:
            return error
        self._account = account
        return None

    def _failed(self, said: str, status: int | None = None) -> VendorError:
        return VendorError(
            f"{self._vendor.name} {said[:300]}.",
            hint=f"Is the service account in {self._vendor.credentials} still valid?",
            status=status,
            sent=False,
        )

    def _load(self) -> Any:
        with needs("grpc"):
            from google.oauth2 import service_account
        name, path = self._vendor.name, self._vendor.credentials
        where = f"{_VARIABLE} (or credentials under [vendors.{name}])"
        try:
            with open(path, "rb") as file:
                told = json.load(file)
        except OSError as error:
            raise ConfigurationError(
                f"{where} names {path}, which cannot be read: {error.strerror}."
            ) from None
        except ValueError:
            raise ConfigurationError(f"{where} names {path}, which is not JSON.") from None
        try:
            return service_account.Credentials.from_service_account_info(told, scopes=(_SCOPE,))  # pyright: ignore
        except Exception as error:
            # Which fields are missing may be told; what else google-auth says may quote the key.
            missing = "missing fields" in str(error)
            why = str(error).partition("missing fields")[2] if missing else ""
            raise ConfigurationError(
                f"{where} names {path}, which is no service account's key"
                f"{': it lacks' + why.rstrip('.') if why else ''}.",
                hint="Make one in Google Cloud's console, under IAM, Service Accounts, Keys.",
            ) from None
