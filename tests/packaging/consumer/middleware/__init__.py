"""Another one: the application's own Dramatiq middleware."""

from typing import Any

import dramatiq


class Marked(dramatiq.Middleware):
    """Marks every message."""

    def before_enqueue(
        self, broker: dramatiq.Broker, message: dramatiq.Message[Any], delay: int | None
    ) -> None:
        """See `dramatiq.Middleware`."""
        message.options["marked"] = True
