"""What can go wrong with the provider, each as the reason its run would fail with.

RunFailure
|- Deferral
|  `- Throttled             told to wait for longer than a worker should
|- TransientFailure
|  `- Unreachable           no answer, or one that is none
|     `- ResultUnknown      of something that must not be done twice
`- PermanentFailure
   |- AuthenticationFailed
   |  `- ConnectionInvalid
   |- PermissionDenied
   `- RequestRefused
      |- NotFound
      `- DeltaExpired
"""

from __future__ import annotations

from lastword.reasons import Deferral, PermanentFailure, Reason, TransientFailure

#: Seconds a run is put off for at least, and at most at a time.
SHORTEST_DEFERRAL_S, LONGEST_DEFERRAL_S = 5.0, 900.0


class Throttled(Deferral):
    """The provider asked for a longer wait than a worker should spend on it."""

    def __init__(self, wait_s: float, message: str = "") -> None:
        delay_s = min(max(wait_s, SHORTEST_DEFERRAL_S), LONGEST_DEFERRAL_S)
        super().__init__(delay_s, Reason.THROTTLED, message)


class Unreachable(TransientFailure):
    """No answer, or one that is no answer, in every try."""

    def __init__(self, message: str = "") -> None:
        super().__init__(Reason.DEPENDENCY_UNREACHABLE, message)


class ResultUnknown(Unreachable):
    """Something that must not be done twice was asked for, and may have been done."""


class AuthenticationFailed(PermanentFailure):
    """The credentials were refused, or a fresh token was."""

    def __init__(self, message: str = "") -> None:
        super().__init__(Reason.AUTHENTICATION_FAILED, message)


class ConnectionInvalid(AuthenticationFailed):
    """There are no credentials for the tenant, or none that can be opened."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.reason = Reason.PROVIDER_CONNECTION_INVALID


class PermissionDenied(PermanentFailure):
    """The application lacks a permission for this resource."""

    def __init__(self, message: str = "") -> None:
        super().__init__(Reason.PERMISSION_DENIED, message)


class RequestRefused(PermanentFailure):
    """The provider refused the request itself."""

    def __init__(self, message: str = "") -> None:
        super().__init__(Reason.INVALID_STATE, message)


class NotFound(RequestRefused):
    """There is no such object, or it is gone."""


class DeltaExpired(RequestRefused):
    """The provider has forgotten where a delta query stood: everything has to be read again."""
