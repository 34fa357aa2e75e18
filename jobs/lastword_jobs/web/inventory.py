"""The inventory of a tenant: what was last seen of it, and the syncs that look again."""

from __future__ import annotations

from starlette.responses import Response

from lastword.access import Capability
from lastword.web.asking import Asked
from lastword.web.guarding import Entry
from lastword.web.notices import tenant_page
from lastword.web.starts import start_here
from lastword_jobs.graph.contracts import ALL_TYPES, POLICY_TYPES
from lastword_jobs.records import InventoryItem, Policy
from lastword_jobs.web.lists import MOST, chosen_types, count_of, inputs_of, latest, path_of


def inventory(asked: Asked) -> Response:
    """The page of the inventory."""
    ledger, tenant_id = asked.ledger, asked.here.tenant_id
    type_ = asked.query.choice("type", ALL_TYPES)
    of_type = None if type_ is None else Policy.type == type_
    return tenant_page(
        asked,
        "inventory.html",
        fields=frozenset({"type"}),
        policies=latest(ledger, Policy, tenant_id, order=[Policy.type, Policy.name], where=of_type),
        policy_count=count_of(ledger, Policy, tenant_id, of_type),
        item_count=count_of(ledger, InventoryItem, tenant_id),
        most=MOST,
        types=ALL_TYPES,
        policy_types=POLICY_TYPES,
        type=type_,
    )


def sync_inventory(asked: Asked) -> Response:
    """Look at everything."""
    asked.form.only({"type"})
    inputs = inputs_of(types=chosen_types(asked))
    return start_here(asked, "inventory_sync", inputs, back=path_of(asked, "inventory"))


def sync_policies(asked: Asked) -> Response:
    """Look at the policies."""
    asked.form.only({"type"})
    inputs = inputs_of(types=chosen_types(asked))
    return start_here(asked, "policy.sync", inputs, back=path_of(asked, "inventory"))


def sync_one(asked: Asked) -> Response:
    """Look at one policy, with all that is in it."""
    asked.form.only({"policy_id", "type"})
    inputs = {
        "policy_id": asked.form.required("policy_id", longest=128),
        "type": asked.form.choice("type", POLICY_TYPES) or "",
    }
    return start_here(asked, "policy.sync_one", inputs, back=path_of(asked, "inventory"))


ENTRIES = (
    Entry("/admin/t/{tenant}/inventory", inventory),
    Entry("/admin/t/{tenant}/inventory/sync", sync_inventory, "POST", Capability.SYNC),
    Entry("/admin/t/{tenant}/inventory/policies", sync_policies, "POST", Capability.SYNC),
    Entry("/admin/t/{tenant}/inventory/policy", sync_one, "POST", Capability.SYNC),
)
