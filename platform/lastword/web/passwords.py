"""Passwords, hashed with argon2id at the parameters of its library (RFC 9106, low memory)."""

from __future__ import annotations

import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from lastword.errors import InvalidInputs

#: Characters of a password: long enough to be no guess, short enough to be hashed in time.
SHORTEST, LONGEST = 12, 200

_HASHER = PasswordHasher()

#: Of nobody's password: whoever is unknown takes the time of whoever is known.
_NOBODYS = _HASHER.hash(secrets.token_urlsafe(16))


def hash_password(password: str) -> str:
    """What is kept of a password.

    Raises:
        InvalidInputs: it is too short or too long.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise InvalidInputs(
            f"the password has {len(password)} characters", expected=f"{SHORTEST} to {LONGEST}"
        )
    return _HASHER.hash(password)


def is_password(hashed: str | None, password: str) -> bool:
    """Whether a password is the one that was hashed; takes as long where there is none."""
    try:
        matches = _HASHER.verify(hashed or _NOBODYS, password[:LONGEST])
    except (VerificationError, InvalidHashError):
        return False
    return matches and hashed is not None
