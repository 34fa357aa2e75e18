"""Sealing: secrets are encrypted at rest, with a key that only the environment holds."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lastword.config import Config
from lastword.errors import ConfigError

#: Characters a key has at least.
SHORTEST_KEY = 32

#: What the derived key is for; the configured one also signs links and sessions.
_PURPOSE = b"lastword sealing"


class Unsealable(Exception):
    """What was sealed cannot be opened: with another key, or it was changed."""


@dataclass(frozen=True, slots=True)
class Sealer:
    """Seals with the first of its keys and opens with any."""

    keys: MultiFernet

    @classmethod
    def of(cls, config: Config) -> Sealer:
        """With the configured keys: several, apart by spaces, while one takes another's place.

        Raises:
            ConfigError: there is none, or one is too short.
        """
        keys = config.secret_key.split()
        if not keys or min(len(key) for key in keys) < SHORTEST_KEY:
            seen = "is not set" if not keys else "holds a key that is too short"
            raise ConfigError(
                [f"secret_key {seen}; expected {SHORTEST_KEY} characters or more"],
                mend="set LASTWORD_SECRET_KEY to what `openssl rand -hex 32` prints",
            )
        return cls(MultiFernet([Fernet(_derived(key)) for key in keys]))

    def seal(self, text: str) -> str:
        """The text, encrypted; another result each time."""
        return self.keys.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """The text that was sealed.

        Raises:
            Unsealable: no key fits.
        """
        try:
            return self.keys.decrypt(sealed.encode()).decode()
        except (InvalidToken, ValueError) as error:
            raise Unsealable("no configured key opens it") from error


def _derived(key: str) -> bytes:
    derived = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=_PURPOSE)
    return base64.urlsafe_b64encode(derived.derive(key.encode()))
