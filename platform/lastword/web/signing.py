"""Texts that come back as they went out: signed with a key of one purpose, made of `secret_key`."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass

from lastword.config import Config
from lastword.errors import ConfigError

#: Characters that a key needs at least.
SHORTEST_KEY = 16


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs texts for one purpose; what was signed for another does not fit.

    Args:
        key: the key of the purpose.
    """

    key: bytes

    @classmethod
    def of(cls, config: Config, purpose: str) -> Signer:
        """The signer of a purpose.

        Raises:
            ConfigError: there is no key, or it is too short.
        """
        if len(config.secret_key) < SHORTEST_KEY:
            raise ConfigError(
                [f"secret_key has {len(config.secret_key)} characters"],
                mend=f"set LASTWORD_SECRET_KEY to {SHORTEST_KEY} random characters or more",
            )
        return cls(
            hmac.digest(config.secret_key.encode(), f"lastword.{purpose}".encode(), "sha256")
        )

    def sign(self, text: str) -> str:
        """The text with its signature, fit for a URL or a cookie."""
        body = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
        return f"{body}.{self._signature(body)}"

    def opened(self, signed: str) -> str | None:
        """The text that was signed; None if it was not, or not for this purpose."""
        body, _, signature = signed.partition(".")
        if not signed.isascii() or not hmac.compare_digest(signature, self._signature(body)):
            return None
        try:
            return base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode()
        except (binascii.Error, ValueError):
            return None

    def _signature(self, body: str) -> str:
        digest = hmac.new(self.key, body.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")
