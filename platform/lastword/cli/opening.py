"""What commands open before they work: the configuration, and a ledger of the right schema."""

from __future__ import annotations

import getpass

from lastword.config import Config, load_config
from lastword.service.audit import Actor, ActorKind
from lastword.storage.ledger import Ledger
from lastword.storage.opening import open_ledger
from lastword.storage.schema import require_current_schema


def open_current() -> tuple[Config, Ledger]:
    """The configuration and its ledger.

    Raises:
        ConfigError: the configuration is wrong.
        SchemaError: the ledger has to be migrated first.
        LedgerUnavailable: the ledger does not answer.
    """
    config = load_config()
    ledger = open_ledger(config.ledger_url)
    require_current_schema(ledger)
    return config, ledger


def operator_here() -> Actor:
    """Whoever is at this command line, as the audit log calls them."""
    return Actor(ActorKind.COMMAND_LINE, getpass.getuser())


def labels(config: Config) -> dict[str, str]:
    """Operation to the label people read."""
    return {name: policy.label for name, policy in config.policies.items()}
