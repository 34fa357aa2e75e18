"""Reading: listings, single objects, what hangs on them, and single documents."""

from __future__ import annotations

from collections.abc import Sequence

from lastword_jobs.graph_server.answers import Answer, bad_request, not_found
from lastword_jobs.graph_server.calls import Errand
from lastword_jobs.graph_server.paging import page_of
from lastword_jobs.graph_server.query import Options, options_of
from lastword_jobs.graph_server.resources import SETTINGS_PAGE, Part, Resource
from lastword_jobs.graph_server.tenants import Entity, Tenant

_FOR_LISTINGS = frozenset({"$select", "$top", "$skiptoken", "$expand", "$filter", "$count"})
_FOR_ONE = frozenset({"$select", "$expand"})
_FOR_PARTS = frozenset({"$top", "$skiptoken"})
_FOR_RULES = frozenset({"$expand"})


def list_objects(errand: Errand) -> Answer:
    """GET a collection."""
    call, resource, tenant = errand.call, errand.resource, errand.tenant
    options = options_of(call.query, resource, allowed=_FOR_LISTINGS, headers=call.headers)
    entities: Sequence[Entity] = tenant.collections.get(resource.name, [])
    if options.filter is not None:
        entities = [entity for entity in entities if options.filter.fits(entity)]
    page = page_of(
        entities,
        options,
        size=resource.page,
        address=call.address,
        query=call.query,
        counts_its_page=resource.counts_its_page,
        show=lambda entity: shown(entity, options, resource, tenant),
    )
    return Answer(200, {"@odata.context": f"{call.context}#{resource.path}", **page})


def get_object(errand: Errand) -> Answer:
    """GET one object."""
    options = options_of(
        errand.call.query, errand.resource, allowed=_FOR_ONE, headers=errand.call.headers
    )
    entity = shown(errand.entity(), options, errand.resource, errand.tenant)
    return Answer(200, with_context(entity, errand))


def list_part(errand: Errand) -> Answer:
    """GET the settings or the assignments of a policy: always in pages."""
    part = Part(errand.target.part)
    call = errand.call
    options = options_of(call.query, errand.resource, allowed=_FOR_PARTS, headers=call.headers)
    policy_id = errand.entity()["id"]
    page = page_of(
        _parts(errand.tenant, policy_id, part, nested=True),
        Options(top=min(options.top or SETTINGS_PAGE, SETTINGS_PAGE), skip=options.skip),
        size=SETTINGS_PAGE,
        address=call.address,
        query=call.query,
        counts_its_page=True,
        show=dict,
    )
    context = f"{call.context}#{errand.resource.path}('{policy_id}')/{part}"
    return Answer(200, {"@odata.context": context, **page})


def list_rules(errand: Errand) -> Answer:
    """GET the scheduled actions of a compliance policy."""
    call = errand.call
    for option in sorted(call.query.keys() - _FOR_RULES):
        raise bad_request(f"The query option '{option}' is not supported.")
    if call.query.get("$expand") not in (None, "scheduledActionConfigurations"):
        raise bad_request("Parsing OData Select and Expand failed.")
    policy_id = errand.entity()["id"]
    rules = _parts(errand.tenant, policy_id, Part.RULES, nested="$expand" in call.query)
    context = f"{call.context}#{errand.resource.path}('{policy_id}')/{Part.RULES}"
    return Answer(200, {"@odata.context": context, "value": list(rules)})


def get_plain_text(errand: Errand) -> Answer:
    """GET the plain value behind an encrypted OMA-URI setting."""
    refuse_options(errand)
    references = {
        setting.get("secretReferenceValueId") for setting in errand.entity().get("omaSettings", ())
    }
    reference = errand.target.argument.removeprefix("secretReferenceValueId=").strip("'")
    if reference not in references or reference not in errand.tenant.secrets:
        raise not_found()
    context = f"{errand.call.context}#Edm.String"
    return Answer(200, {"@odata.context": context, "value": errand.tenant.secrets[reference]})


def get_document(errand: Errand) -> Answer:
    """GET a single document, such as a summary."""
    refuse_options(errand)
    path = errand.target.template
    document = errand.tenant.documents.get(path)
    if document is None:
        raise not_found()
    return Answer(200, {"@odata.context": f"{errand.call.context}#{path}/$entity", **document})


def refuse_options(errand: Errand) -> None:
    """Refuse every query option where none fits.

    Raises:
        Refusal: there is one.
    """
    for option in errand.call.query:
        raise bad_request(f"The query option '{option}' is not supported.")


def with_context(entity: Entity, errand: Errand) -> Entity:
    """An object with what says where it belongs."""
    context = f"{errand.call.context}#{errand.resource.path}/$entity"
    return {"@odata.context": context, **entity}


def shown(entity: Entity, options: Options, resource: Resource, tenant: Tenant) -> Entity:
    """What a reader sees of an object."""
    seen = dict(entity)
    if options.select is not None:
        wanted = {"id", "@odata.type", *options.select}
        seen = {key: value for key, value in entity.items() if key in wanted}
    for part in sorted(options.expand & resource.expandable):
        seen[part] = _parts(tenant, entity["id"], Part(part), nested=options.nested)
    return seen


def _parts(tenant: Tenant, policy_id: str, part: Part, *, nested: bool) -> list[Entity]:
    if part is Part.SETTINGS:
        return tenant.settings.get(policy_id, [])
    if part is Part.ASSIGNMENTS:
        return tenant.assignments.get(policy_id, [])
    rules = tenant.actions.get(policy_id, [])
    return rules if nested else [_without_actions(rule) for rule in rules]


def _without_actions(rule: Entity) -> Entity:
    return {key: value for key, value in rule.items() if "scheduledActionConfigurations" not in key}
