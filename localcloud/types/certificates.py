"""Certificate Manager. Declared, not run: the local front door is plain HTTP on
loopback.
"""

from localcloud.types.base import Operation, ResourceType

API = "certificatemanager.googleapis.com"
SOURCE = "certificatemanager v1 discovery; gcp.md 1.2"
BASE = "v1/projects/{project}/locations/{location}"
DROP = frozenset({"deletionPolicy", "location", "name", "project"})
FIXED = frozenset({"location", "name", "project"})
MAP_DROP = DROP - {"location"}
MAP_FIXED = FIXED - {"location"}

TYPES = (
    ResourceType(
        token="gcp:certificatemanager/dnsAuthorization:DnsAuthorization",
        api=API,
        schema="DnsAuthorization",
        path=f"{BASE}/dnsAuthorizations/{{id}}",
        source=SOURCE,
        id_param="dnsAuthorizationId",
        operation=Operation.LONG_RUNNING,
        drop=DROP,
        replace=FIXED | {"domain", "type"},
    ),
    ResourceType(
        token="gcp:certificatemanager/certificate:Certificate",
        api=API,
        schema="Certificate",
        path=f"{BASE}/certificates/{{id}}",
        source=SOURCE,
        id_param="certificateId",
        operation=Operation.LONG_RUNNING,
        rename={
            "managed.authorizationAttemptInfos": "authorizationAttemptInfo",
            "managed.provisioningIssues": "provisioningIssue",
            "selfManaged.certificatePem": "pemCertificate",
            "selfManaged.pemPrivateKeyWo": "pemPrivateKey",
            "selfManaged.privateKeyPem": "pemPrivateKey",
        },
        unwrap=frozenset({"managed.provisioningIssues"}),
        drop=DROP | {"selfManaged.pemPrivateKeyWoVersion"},
        replace=FIXED | {"managed", "scope"},
    ),
    ResourceType(
        token="gcp:certificatemanager/certificateMap:CertificateMap",
        api=API,
        schema="CertificateMap",
        path=f"{BASE}/certificateMaps/{{id}}",
        source=SOURCE,
        id_param="certificateMapId",
        operation=Operation.LONG_RUNNING,
        drop=MAP_DROP,
        replace=MAP_FIXED,
    ),
    ResourceType(
        token="gcp:certificatemanager/certificateMapEntry:CertificateMapEntry",
        api=API,
        schema="CertificateMapEntry",
        path=f"{BASE}/certificateMaps/{{map}}/certificateMapEntries/{{id}}",
        source=SOURCE,
        id_param="certificateMapEntryId",
        operation=Operation.LONG_RUNNING,
        drop=MAP_DROP | {"map"},
        replace=MAP_FIXED | {"hostname", "map", "matcher"},
    ),
)
