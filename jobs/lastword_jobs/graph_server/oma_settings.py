"""OMA-URI settings: checked when written, their texts hidden behind stars and a reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lastword_jobs.graph_server.answers import bad_request
from lastword_jobs.graph_server.known_types import HIDDEN_OMA_SETTINGS, OMA_SETTINGS, written_out
from lastword_jobs.graph_server.tenants import Entity, Tenant

#: What is read in place of a hidden text.
STARS = "****"


def require_oma_settings(settings: Any) -> None:
    """Refuse OMA-URI settings of which one is not sound.

    Raises:
        Refusal: one is not.
    """
    if not isinstance(settings, list):
        raise bad_request("The property 'omaSettings' must be a collection.")
    for place, setting in enumerate(settings):
        kind = setting.get("@odata.type") if isinstance(setting, dict) else None
        if not isinstance(kind, str) or written_out(kind) not in OMA_SETTINGS:
            raise bad_request(f"omaSettings[{place}] has the unknown type '{kind}'.")
        for key in ("displayName", "omaUri"):
            if not isinstance(setting.get(key), str) or not setting[key]:
                raise bad_request(f"omaSettings[{place}] needs '{key}'.")
        if "value" not in setting:
            raise bad_request(f"omaSettings[{place}] needs 'value'.")


def hidden(
    settings: Sequence[Entity], tenant: Tenant, policy_id: str, *, earlier: Sequence[Entity] = ()
) -> list[Entity]:
    """The settings as they are kept: texts go to the tenant's secrets.

    Stars that come back with the reference under which they were read stand for the text behind
    it; all other stars are taken at their word, which is how backups of them lose what they hid.
    """
    known = {setting.get("secretReferenceValueId") for setting in earlier} - {None}
    return [_hidden(setting, tenant, policy_id, known) for setting in settings]


def _hidden(setting: Entity, tenant: Tenant, policy_id: str, known: set[Any]) -> Entity:
    kept = {**setting, "@odata.type": written_out(setting["@odata.type"])}
    if kept["@odata.type"] not in HIDDEN_OMA_SETTINGS:
        return {**kept, "isEncrypted": False, "secretReferenceValueId": None}
    reference = setting.get("secretReferenceValueId")
    if setting["value"] != STARS or reference not in known:
        reference = f"{policy_id}_{tenant.new_id('secret')}"
        tenant.secrets[reference] = str(setting["value"])
    return {**kept, "isEncrypted": True, "secretReferenceValueId": reference, "value": STARS}
