"""What can go wrong with the provider, each as the reason its run would fail with."""

from __future__ import annotations

from lastword.reasons import PermanentFailure, Reason, TransientFailure


class Throttled(TransientFailure):
    """The provider asked for a longer wait than this attempt may spend."""

    def __init__(self, message: str = "") -> None:
        super().__init__(Reason.THROTTLED, message)


class Unreachable(TransientFailure):
    """No answer, or one that is no answer, in every try."""

    def __init__(self, message: str = "") -> None:
        super().__init__(Reason.DEPENDENCY_UNREACHABLE, message)


class AuthenticationFailed(PermanentFailure):
    """The credentials were refused, or a fresh token was."""

    def __init__(self, message: str = "") -> None:
        super().__init__(Reason.AUTHENTICATION_FAILED, message)


class PermissionDenied(PermanentFailure):
    """The application lacks a permission for this resource."""

    def __init__(self, message: str = "") -> None:
        super().__init__(Reason.PERMISSION_DENIED, message)


class RequestRefused(PermanentFailure):
    """The provider refused the request itself."""

    def __init__(self, message: str = "") -> None:
        super().__init__(Reason.INVALID_STATE, message)
