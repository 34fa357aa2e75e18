"""The `@odata.type`s that bodies may name; a strict service refuses every other."""

from __future__ import annotations


def _types(text: str) -> frozenset[str]:
    return frozenset(f"#microsoft.graph.{name}" for name in text.split())


CATALOG_POLICY = _types("deviceManagementConfigurationPolicy")

CATALOG_COMPLIANCE = _types("deviceManagementCompliancePolicy")

CONFIGURATION = _types(
    """
    androidDeviceOwnerGeneralDeviceConfiguration androidGeneralDeviceConfiguration
    androidWorkProfileGeneralDeviceConfiguration appleDeviceFeaturesConfiguration
    editionUpgradeConfiguration iosCustomConfiguration iosDeviceFeaturesConfiguration
    iosGeneralDeviceConfiguration iosUpdateConfiguration macOSCustomConfiguration
    macOSDeviceFeaturesConfiguration macOSGeneralDeviceConfiguration sharedPCConfiguration
    windows10CustomConfiguration windows10EndpointProtectionConfiguration
    windows10GeneralConfiguration windows81TrustedRootCertificate
    windowsDefenderAdvancedThreatProtectionConfiguration windowsHealthMonitoringConfiguration
    windowsUpdateForBusinessConfiguration
    """
)

COMPLIANCE = _types(
    """
    androidCompliancePolicy androidDeviceOwnerCompliancePolicy androidWorkProfileCompliancePolicy
    iosCompliancePolicy macOSCompliancePolicy windows10CompliancePolicy
    windows10MobileCompliancePolicy windows81CompliancePolicy
    """
)

FILTER = _types("deviceAndAppManagementAssignmentFilter")

SCOPE_TAG = _types("roleScopeTag")

DEVICE_ROLE = _types("roleDefinition deviceAndAppManagementRoleDefinition")

NOTIFICATION = _types("notificationMessageTemplate")

GROUP = _types("group")

CONDITIONAL_ACCESS = _types("conditionalAccessPolicy")

SETTING_INSTANCES = _types(
    """
    deviceManagementConfigurationChoiceSettingCollectionInstance
    deviceManagementConfigurationChoiceSettingInstance
    deviceManagementConfigurationGroupSettingCollectionInstance
    deviceManagementConfigurationGroupSettingInstance
    deviceManagementConfigurationSimpleSettingCollectionInstance
    deviceManagementConfigurationSimpleSettingInstance
    """
)

HIDDEN_OMA_SETTINGS = _types("omaSettingBase64 omaSettingString omaSettingStringXml")

OMA_SETTINGS = HIDDEN_OMA_SETTINGS | _types(
    "omaSettingBoolean omaSettingDateTime omaSettingFloatingPoint omaSettingInteger"
)

ALL_USERS, ALL_DEVICES, GROUP_TARGET, EXCLUDED_GROUP_TARGET = (
    f"#microsoft.graph.{name}AssignmentTarget"
    for name in ("allLicensedUsers", "allDevices", "group", "exclusionGroup")
)

TARGETS = frozenset({ALL_USERS, ALL_DEVICES, GROUP_TARGET, EXCLUDED_GROUP_TARGET})


def written_out(odata_type: str) -> str:
    """A type with its leading `#`, which the documentation shows with and without."""
    return odata_type if odata_type.startswith("#") else f"#{odata_type}"
