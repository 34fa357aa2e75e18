"""What the provider has: every type of object with its path, version and the key of its name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Contract:
    """One type of object.

    Attributes:
        type: our name of the type.
        path: the path below the version.
        version: the API version to read it from.
        name_key: the property that holds its name.
        is_policy: whether it is a policy; else a foundation that policies refer to.
    """

    type: str
    path: str
    version: str
    name_key: str = "displayName"
    is_policy: bool = True


CONTRACTS = (
    Contract("settingsCatalog", "deviceManagement/configurationPolicies", "beta", "name"),
    Contract("deviceConfiguration", "deviceManagement/deviceConfigurations", "v1.0"),
    Contract("deviceCompliance", "deviceManagement/deviceCompliancePolicies", "v1.0"),
    Contract("assignmentFilter", "deviceManagement/assignmentFilters", "beta", is_policy=False),
    Contract("roleScopeTag", "deviceManagement/roleScopeTags", "beta", is_policy=False),
)

POLICY_TYPES = tuple(contract.type for contract in CONTRACTS if contract.is_policy)
ALL_TYPES = tuple(contract.type for contract in CONTRACTS)

BY_TYPE = {contract.type: contract for contract in CONTRACTS}
