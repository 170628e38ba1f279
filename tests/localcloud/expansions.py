"""Pulumi inputs of golden resources: (golden, type, inputs, what the server adds)."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
PLACE = {"project": "p1", "location": "us-central1"}
REGION = {"project": "p1", "region": "us-central1"}
GLOBAL = {"project": "p1"}
NETWORK = "projects/p1/global/networks/n1"
ONE = {"label-one": "value-one"}
SERVICE = "gcp:cloudrunv2/service:Service"
SQL = "gcp:sql/databaseInstance:DatabaseInstance"
SLO = "gcp:monitoring/slo:Slo"
SUBNET = "gcp:compute/subnetwork:Subnetwork"
ALL = {"ingress": "INGRESS_TRAFFIC_ALL", "launchStage": "GA"}
HELLO = {"image": "gcr.io/cloudrun/hello"}

SERVER: dict[str, Json] = {
    # Defaults of the server that the controller writes out, and what the path says.
    SUBNET: {
        "logConfig": {"enable": False},
        "region": "projects/p1/global/regions/us-central1",
    },
    "gcp:compute/regionNetworkEndpointGroup:RegionNetworkEndpointGroup": {
        "region": "projects/p1/global/regions/us-central1",
    },
    "gcp:compute/backendService:BackendService": {"iap": {"enabled": False}},
    SQL: {
        "instanceType": "CLOUD_SQL_INSTANCE",
        "kind": "sql#instance",
        "settings": {
            "backupConfiguration": {"kind": "sql#backupConfiguration"},
            "kind": "sql#settings",
            "locationPreference": {"kind": "sql#locationPreference"},
            "maintenanceWindow": {"kind": "sql#maintenanceWindow"},
            "pricingPlan": "PER_USE",
            "replicationType": "SYNCHRONOUS",
        },
    },
}
NUMBERS = {
    # (type, place in the body, word): its number in Google's protocol buffers.
    ("gcp:artifactregistry/repository:Repository", "format", "DOCKER"): 1,
    ("gcp:artifactregistry/repository:Repository", "mode", "VIRTUAL_REPOSITORY"): 2,
    ("gcp:certificatemanager/certificate:Certificate", "scope", "EDGE_CACHE"): 1,
    (
        "gcp:certificatemanager/certificateMapEntry:CertificateMapEntry",
        "matcher",
        "PRIMARY",
    ): 1,
    ("gcp:redis/cluster:Cluster", "nodeType", "REDIS_STANDARD_SMALL"): 4,
    ("gcp:redis/instance:Instance", "tier", "BASIC"): 1,
    ("gcp:redis/instance:Instance", "tier", "STANDARD_HA"): 3,
    ("gcp:redis/instance:Instance", "connectMode", "DIRECT_PEERING"): 1,
    ("gcp:pubsub/topic:Topic", "schemaSettings.encoding", "JSON"): 1,
    ("gcp:billing/budget:Budget", "budgetFilter.calendarPeriod", "MONTH"): 1,
    (
        "gcp:billing/budget:Budget",
        "budgetFilter.creditTypesTreatment",
        "INCLUDE_SPECIFIED_CREDITS",
    ): 3,
    ("gcp:billing/budget:Budget", "thresholdRules[0].spendBasis", "CURRENT_SPEND"): 1,
}


def _service(template: Json, **more: Any) -> Json:
    return {"name": "runservice-u1", **PLACE, **ALL, "template": template, **more}


def _slo(**indicator: Any) -> Json:
    return {
        "service": "monitoringservice-u1",
        "sloId": "monitoringservicelevelobjective-u1",
        "project": "p1",
        "goal": 0.9,
        "userLabels": {"test1": "value1"},
        **indicator,
    }


OBJECTIVE = (
    "projects/p1/services/monitoringservice-u1/serviceLevelObjectives/"
    "monitoringservicelevelobjective-u1"
)
POSTGRES: Json = {
    "activationPolicy": "ALWAYS",
    "availabilityType": "ZONAL",
    "connectorEnforcement": "NOT_REQUIRED",
    "diskAutoresize": True,
    "diskType": "PD_SSD",
    "edition": "ENTERPRISE",
    "ipConfiguration": {
        "ipv4Enabled": True,
        "sslMode": "ALLOW_UNENCRYPTED_AND_ENCRYPTED",
    },
    "tier": "db-custom-1-3840",
}
TABLE: list[tuple[Any, ...]] = [
    (
        "artifactregistryrepository__artifactregistryrepository",
        "gcp:artifactregistry/repository:Repository",
        {
            "repositoryId": "arrepository-u1",
            "location": "us-west1",
            "description": "test repository description",
            "format": "DOCKER",
            "mode": "VIRTUAL_REPOSITORY",
            "labels": ONE,
            "virtualRepositoryConfig": {
                "upstreamPolicies": [
                    {
                        "id": "upstream-repo",
                        "priority": 1.0,
                        "repository": "projects/p1/locations/us-west1/repositories/"
                        "arrepository-u1-2",
                    }
                ]
            },
        },
    ),
    (
        "billingbudgetsbudget__calendarbudget",
        "gcp:billing/budget:Budget",
        {
            "billingAccount": "billingaccountid",
            "displayName": "sample-budget",
            "amount": {"specifiedAmount": {"currencyCode": "USD", "units": "9000000"}},
            "budgetFilter": {
                "calendarPeriod": "MONTH",
                "creditTypes": ["DISCOUNT"],
                "creditTypesTreatment": "INCLUDE_SPECIFIED_CREDITS",
                "labels": {"label-one": "value-one"},
                "projects": ["projects/project-1-u1"],
                "services": ["services/0245-C3C9-3864"],
            },
            "allUpdatesRule": {
                "monitoringNotificationChannels": [
                    "projects/p1/notificationChannels/notificationchannelid"
                ],
                "pubsubTopic": "projects/p1/topics/pubsubtopic-1-u1",
                "schemaVersion": "1.0",
            },
            "thresholdRules": [
                {"spendBasis": "CURRENT_SPEND", "thresholdPercent": 0.5}
            ],
        },
        {"name": "billingAccounts/billingaccountid/budgets/billingbudgetsbudget-u1"},
    ),
    (
        "certificatemanagercertificate__certificatemanagercertificatemanageddns",
        "gcp:certificatemanager/certificate:Certificate",
        {
            "name": "certificatemanagercertificateu1",
            "description": "sample managed cert for kcc",
            "labels": ONE,
            "managed": {
                "domains": ["u11.hashicorptest.com", "u12.hashicorptest.com"],
                "dnsAuthorizations": [
                    "projects/p1/locations/global/dnsAuthorizations/"
                    f"certificatemanagerdnsauthorization{number}u1"
                    for number in (1, 2)
                ],
            },
            "scope": "EDGE_CACHE",
        },
    ),
    (
        "certificatemanagercertificatemapentry__certificatemanagercertificatemapentry",
        "gcp:certificatemanager/certificateMap:CertificateMap",
        {
            "name": "certificatemanagercertificatemapu1",
            "description": "sample certificate-map for creating certificate-map-entry",
        },
    ),
    (
        "certificatemanagercertificatemapentry__certificatemanagercertificatemapentry",
        "gcp:certificatemanager/certificateMapEntry:CertificateMapEntry",
        {
            "name": "certificatemanagercertificatemapentryu1",
            "map": "certificatemanagercertificatemapu1",
            "description": "sample certificate map entry",
            "certificates": [
                "projects/p1/locations/global/certificates/"
                "certificatemanagercertificateu1"
            ],
            "matcher": "PRIMARY",
        },
    ),
    (
        "certificatemanagerdnsauthorization__certificatemanagerdnsauthorization-full",
        "gcp:certificatemanager/dnsAuthorization:DnsAuthorization",
        {
            "name": "certificatemanagerdnsauthorizationu1",
            "location": "us-central1",
            "description": "sample dns authorization",
            "domain": "u1.hashicorptest.com",
            "labels": ONE,
        },
    ),
    (
        "clouddeployautomation__automation-basic",
        "gcp:clouddeploy/automation:Automation",
        {
            "name": "clouddeployautomation-u1",
            "deliveryPipeline": "clouddeploydeliverypipeline-u1",
            **PLACE,
            "description": "Test Automation",
            "labels": {"test-label": "test-value"},
            "rules": [{"promoteReleaseRule": {"id": "promote-release", "wait": "60s"}}],
            "selector": {"targets": [{"id": "clouddeploytarget-u1"}]},
            "serviceAccount": "gsa-u1@p1.iam.gserviceaccount.com",
        },
    ),
    (
        "clouddeploytarget__target-basic",
        "gcp:clouddeploy/target:Target",
        {
            "name": "clouddeploytarget-u1",
            **PLACE,
            "description": "Basic Cloud Run Target",
            "run": {"location": "projects/p1/locations/us-central1"},
        },
    ),
    (
        "clouddeploydeliverypipeline__deliverypipeline-canary-strategy",
        "gcp:clouddeploy/deliveryPipeline:DeliveryPipeline",
        {
            "name": "clouddeploydeliverypipeline-full-2-u1",
            "location": "us-east1",
            "serialPipeline": {
                "stages": [
                    {
                        "targetId": "my-fake-target-2",
                        "deployParameters": [
                            {
                                "matchTargetLabels": {"label1": "val1"},
                                "values": {"key1": "value1"},
                            }
                        ],
                        "strategy": {
                            "canary": {
                                "customCanaryDeployment": {
                                    "phaseConfigs": [
                                        {
                                            "percentage": 50.0,
                                            "phaseId": "phase1",
                                            "postdeploy": {
                                                "actions": ["postdeploy-action"]
                                            },
                                            "predeploy": {
                                                "actions": ["predeploy-action"]
                                            },
                                            "profiles": ["profile1"],
                                            "verify": True,
                                        }
                                    ]
                                },
                                "runtimeConfig": {
                                    "cloudRun": {
                                        "automaticTrafficControl": True,
                                        "canaryRevisionTags": ["canary"],
                                        "priorRevisionTags": ["prior"],
                                        "stableRevisionTags": ["stable"],
                                    }
                                },
                            }
                        },
                    }
                ]
            },
        },
    ),
    (
        "computeaddress__globalcomputeaddress-direct",
        "gcp:compute/globalAddress:GlobalAddress",
        {
            "name": "addressid",
            "addressType": "INTERNAL",
            "description": "a test global address",
            "ipVersion": "IPV4",
            "network": NETWORK,
            "prefixLength": 16.0,
            "purpose": "VPC_PEERING",
        },
    ),
    (
        "computebackendbucket",
        "gcp:compute/backendBucket:BackendBucket",
        {
            "name": "backendbucketid",
            "bucketName": "storagebucket-sample-u1",
            "description": "Compute Backend Bucket Sample",
        },
    ),
    (
        "computeurlmap__globalcomputeurlmap",
        "gcp:compute/backendService:BackendService",
        {
            "name": "backendserviceid",
            "connectionDrainingTimeoutSec": 300.0,
            "healthChecks": "https://www.googleapis.com/compute/v1/projects/p1/global/"
            "healthChecks/healthcheckid",
            "loadBalancingScheme": "EXTERNAL_MANAGED",
        },
    ),
    (
        "computenetwork__computenetworkbasic",
        "gcp:compute/network:Network",
        {
            "name": "n1",
            "autoCreateSubnetworks": False,
            "enableUlaInternalIpv6": False,
            "networkProfile": "projects/p1/global/networkProfiles/"
            "us-central1-a-vpc-falcon",
            "routingMode": "REGIONAL",
            "deleteDefaultRoutesOnCreate": False,
        },
    ),
    (
        "computeregionnetworkendpointgroup__cloudruncomputeregionnetworkendpointgroup",
        "gcp:compute/regionNetworkEndpointGroup:RegionNetworkEndpointGroup",
        {
            "name": "networkendpointgroupid",
            "region": "us-central1",
            "cloudRun": {"service": "runservice-u1"},
            "networkEndpointType": "SERVERLESS",
        },
    ),
    (
        "computeregionnetworkendpointgroup__cloudruncomputeregionnetworkendpointgroup",
        SERVICE,
        _service(
            {
                "containers": [{**HELLO, "envs": [{"name": "FOO", "value": "bar"}]}],
                "scaling": {"maxInstanceCount": 2.0},
            },
            traffics=[
                {"percent": 100.0, "type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"}
            ],
        ),
    ),
    (
        "computesecuritypolicy",
        "gcp:compute/securityPolicy:SecurityPolicy",
        {
            "name": "securitypolicyid",
            "adaptiveProtectionConfig": {
                "layer7DdosDefenseConfig": {
                    "enable": True,
                    "ruleVisibility": "STANDARD",
                }
            },
            "rules": [
                {
                    "action": "deny(403)",
                    "match": {
                        "config": {"srcIpRanges": ["*"]},
                        "versionedExpr": "SRC_IPS_V1",
                    },
                    "priority": 2147483647.0,
                },
                {
                    "action": "allow",
                    "match": {
                        "config": {
                            "srcIpRanges": [
                                "16.0.0.0/4",
                                "115.128.0.0/9",
                                "62.48.212.0/24",
                            ]
                        },
                        "versionedExpr": "SRC_IPS_V1",
                    },
                    "preview": True,
                    "priority": 1000000000.0,
                },
            ],
        },
    ),
    (
        "computesslpolicy",
        "gcp:compute/sSLPolicy:SSLPolicy",
        {
            "name": "sslpolicyid",
            "minTlsVersion": "TLS_1_1",
            "profile": "RESTRICTED",
        },
    ),
    (
        "computesubnetwork__computesubnetwork",
        SUBNET,
        {
            "name": "subnetworkid",
            **REGION,
            "ipCidrRange": "10.2.0.0/16",
            "network": NETWORK,
        },
    ),
    (
        "computesubnetwork__reservedinternalrange",
        SUBNET,
        {
            "name": "subnetworkid",
            **REGION,
            "network": NETWORK,
            "reservedInternalRange": "networkconnectivity.googleapis.com/projects/p1/"
            "locations/global/internalRanges/internalrange-u1",
            "secondaryIpRanges": [
                {"ipCidrRange": "10.129.0.0/24", "rangeName": "secondary-range"}
            ],
            "sendSecondaryIpRangeIfEmpty": True,
        },
    ),
    (
        "computetargethttpsproxy__globaltargethttpsproxycertificatemap",
        "gcp:compute/targetHttpsProxy:TargetHttpsProxy",
        {
            "name": "targethttpsproxyid",
            "certificateMap": "projects/p1/locations/global/certificateMaps/"
            "certificatemap-u1",
            "description": "test description",
            "quicOverride": "DISABLE",
            "urlMap": "projects/p1/global/urlMaps/computeurlmap-u1",
        },
    ),
    (
        "computeurlmap__globalcomputeurlmap",
        "gcp:compute/uRLMap:URLMap",
        {
            "name": "computeurlmap-u1",
            "description": "test global URLMap",
            "defaultCustomErrorResponsePolicy": {
                "errorResponseRules": [
                    {
                        "matchResponseCodes": ["5xx"],
                        "overrideResponseCode": 502.0,
                        "path": "/5xx.html",
                    }
                ]
            },
            "hostRules": [{"hosts": ["mysite.com"], "pathMatcher": "allpaths"}],
            "pathMatchers": [
                {
                    "name": "allpaths",
                    "defaultCustomErrorResponsePolicy": {
                        "errorResponseRules": [
                            {
                                "matchResponseCodes": ["4xx"],
                                "overrideResponseCode": 404.0,
                                "path": "/4xx.html",
                            }
                        ]
                    },
                }
            ],
        },
    ),
    (
        "iamserviceaccount__iamserviceaccount-full",
        "gcp:serviceaccount/account:Account",
        {
            "accountId": "gsa-u1",
            "description": "A test service account with all fields. This tests the "
            "description field.",
            "displayName": "Test Service Account Full",
        },
    ),
    (
        "memorystoreinstance__basicmemorystoreinstance",
        "gcp:memorystore/instance:Instance",
        {"instanceId": "memorystoreinstance-u1", **PLACE, "shardCount": 3.0},
    ),
    (
        "monitoringdashboard__monitoringdashboardmosaiclayout",
        "gcp:monitoring/alertPolicy:AlertPolicy",
        {
            "displayName": "Test Alert Policy",
            "combiner": "AND_WITH_MATCHING_RESOURCE",
            "enabled": True,
            "conditions": [
                {
                    "displayName": "Very high CPU usage",
                    "conditionThreshold": {
                        "aggregations": [
                            {
                                "alignmentPeriod": "60s",
                                "crossSeriesReducer": "REDUCE_MEAN",
                                "groupByFields": [
                                    "project",
                                    "resource.label.instance_id",
                                    "resource.label.zone",
                                ],
                                "perSeriesAligner": "ALIGN_MAX",
                            }
                        ],
                        "comparison": "COMPARISON_GT",
                        "duration": "900s",
                        "filter": 'metric.type="compute.googleapis.com/instance/cpu/'
                        'utilization" AND resource.type="gce_instance"',
                        "thresholdValue": 0.9,
                        "trigger": {"count": 1.0},
                    },
                }
            ],
        },
    ),
    (
        "monitoringnotificationchannel__monitoringnotificationchannel",
        "gcp:monitoring/notificationChannel:NotificationChannel",
        {
            "displayName": "monitoringnotificationchannel-u1",
            "type": "webhook_basicauth",
            "enabled": True,
            "description": "Sends notifications to indicated webhook URL using HTTP-"
            "standard basic authentication. Should be used in conjunction with SSL/TLS "
            "to reduce the risk of attackers snooping the credentials.",
            "labels": {
                "url": "http://hooks.example.com/notifications",
                "username": "admin",
            },
            "sensitiveLabels": {"password": "password\n"},
            "userLabels": {"key-one": "value-one", "key-two": "value-two"},
            "forceDelete": False,
        },
    ),
    (
        "monitoringservice",
        "gcp:monitoring/customService:CustomService",
        {
            "serviceId": "monitoringservice-u1",
            "displayName": "A basic monitoring service.",
            "telemetry": {
                "resourceName": "//storage.googleapis.com/buckets/bucket-id1"
            },
            "userLabels": {"test1": "value1"},
        },
        {"name": "projects/p1/services/monitoringservice-u1"},
    ),
    (
        "monitoringservicelevelobjective__windowbasedmetricmeanfilter",
        SLO,
        _slo(
            displayName="A window based metric mean filter",
            rollingPeriodDays=1.0,
            windowsBasedSli={
                "windowPeriod": "60s",
                "metricMeanInRange": {
                    "range": {"max": 100.0, "min": 50.0},
                    "timeSeries": 'project = p1\n resource.type="gce_instance" \n'
                    'metric.type="compute.googleapis.com/instance/cpu/usage_time"',
                },
            },
        ),
        {"name": OBJECTIVE},
    ),
    (
        "monitoringservicelevelobjective__requestbaseddistributioncut",
        SLO,
        _slo(
            displayName="A request based distribution cut filter",
            rollingPeriodDays=1.0,
            requestBasedSli={
                "distributionCut": {
                    "range": {"max": 100.0, "min": 50.0},
                    "distributionFilter": "project = p1\n metric.type="
                    '"serviceruntime.googleapis.com/api/request_latencies" \n '
                    'resource.type="api"  ',
                }
            },
        ),
        {"name": OBJECTIVE},
    ),
    (
        "monitoringuptimecheckconfig__httpuptimecheckconfig",
        "gcp:monitoring/uptimeCheckConfig:UptimeCheckConfig",
        {
            "displayName": "http-uptime-check",
            "contentMatchers": [{"content": ".*", "matcher": "MATCHES_REGEX"}],
            "httpCheck": {
                "authInfo": {"password": "testABC", "username": "name"},
                "body": "c3RyaW5nCg==",
                "contentType": "URL_ENCODED",
                "headers": {"header-one": "value-one"},
                "maskHeaders": True,
                "path": "/main",
                "port": 80.0,
                "requestMethod": "POST",
                "useSsl": True,
                "validateSsl": False,
            },
            "monitoredResource": {
                "type": "uptime_url",
                "labels": {"host": "192.168.1.1", "project_id": "p1"},
            },
            "period": "60s",
            "selectedRegions": ["USA"],
            "timeout": "30s",
        },
    ),
    (
        "networkconnectivityserviceconnectionpolicy__serviceconnectionpolicybasic",
        "gcp:networkconnectivity/serviceConnectionPolicy:ServiceConnectionPolicy",
        {
            "name": "serviceconnectionpolicy-u1",
            **PLACE,
            "description": "Service Connection Policy for redis",
            "network": NETWORK,
            "serviceClass": "gcp-memorystore-redis",
            "pscConfig": {
                "limit": "2",
                "subnetworks": [
                    "projects/p1/regions/us-central1/subnetworks/subnetworkid"
                ],
            },
        },
    ),
    (
        "pubsubsubscription__pubsubsubscription-push",
        "gcp:pubsub/subscription:Subscription",
        {
            "name": "pubsubsubscription-u1",
            "topic": "projects/p1/topics/pubsubtopic-u1",
            "ackDeadlineSeconds": 600.0,
            "deadLetterPolicy": {
                "deadLetterTopic": "projects/p1/topics/pubsubtopic-u1",
                "maxDeliveryAttempts": 100.0,
            },
            "enableMessageOrdering": True,
            "expirationPolicy": {"ttl": "2592000s"},
            "filter": 'attributes.type = "key"',
            "messageRetentionDuration": "604800s",
            "pushConfig": {
                "attributes": {"x-goog-version": "v1"},
                "noWrapper": {"writeMetadata": True},
                "oidcToken": {
                    "audience": "https://example.com/push",
                    "serviceAccountEmail": "gsa-1-u1@p1.iam.gserviceaccount.com",
                },
                "pushEndpoint": "https://example.com/push",
            },
            "retainAckedMessages": True,
            "retryPolicy": {"maximumBackoff": "600s", "minimumBackoff": "10s"},
        },
        {"name": "projects/p1/subscriptions/pubsubsubscription-u1"},
    ),
    (
        "pubsubtopic__pubsubtopic",
        "gcp:pubsub/topic:Topic",
        {
            "name": "pubsubtopic-sample-u1",
            "labels": ONE,
            "messageStoragePolicy": {
                "allowedPersistenceRegions": ["us-central1"],
                "enforceInTransit": True,
            },
            "schemaSettings": {
                "encoding": "JSON",
                "schema": "projects/p1/schemas/pubsubschema-u1",
            },
        },
        {"name": "projects/p1/topics/pubsubtopic-sample-u1"},
    ),
    (
        "rediscluster__replicationrediscluster",
        "gcp:redis/cluster:Cluster",
        {
            "name": "dependency-cluster-u1",
            **REGION,
            "deletionProtectionEnabled": False,
            "nodeType": "REDIS_STANDARD_SMALL",
            "pscConfigs": [{"network": NETWORK}],
            "replicaCount": 1.0,
            "shardCount": 3.0,
        },
    ),
    (
        "redisinstance__redisinstancesecondaryiprange",
        "gcp:redis/instance:Instance",
        {
            "name": "redisinstances-u1",
            **REGION,
            "connectMode": "DIRECT_PEERING",
            "displayName": "Sample Redis Instance with Secondary IP Range",
            "memorySizeGb": 16.0,
            "secondaryIpRange": "auto",
            "tier": "STANDARD_HA",
        },
    ),
    (
        "runservice__runservicemulticontainer",
        SERVICE,
        _service(
            {
                "containers": [
                    {
                        **HELLO,
                        "name": "hello-1",
                        "ports": {"containerPort": 8080.0},
                        "volumeMounts": [
                            {"mountPath": "/mnt", "name": "empty-dir-volume"}
                        ],
                    },
                    {**HELLO, "name": "hello-2"},
                ],
                "volumes": [
                    {
                        "name": "empty-dir-volume",
                        "emptyDir": {"medium": "MEMORY", "sizeLimit": "256Mi"},
                    }
                ],
            }
        ),
    ),
    (
        "runservice__runserviceprobes",
        SERVICE,
        _service(
            {
                "containers": [
                    {
                        **HELLO,
                        "livenessProbe": {
                            "failureThreshold": 3.0,
                            "httpGet": {"path": "/"},
                            "periodSeconds": 10.0,
                            "timeoutSeconds": 1.0,
                        },
                        "startupProbe": {
                            "failureThreshold": 1.0,
                            "tcpSocket": {"port": 8080.0},
                            "periodSeconds": 3.0,
                            "timeoutSeconds": 1.0,
                        },
                    }
                ]
            }
        ),
    ),
    (
        "secretmanagersecret__fullsecretmanagersecret-auto-direct",
        "gcp:secretmanager/secret:Secret",
        {
            "secretId": "secretmanagersecret-u1",
            "annotations": {"foo": "secretmanagersecret"},
            "expireTime": "2024-04-01T12:34:56.123456Z",
            "labels": ONE,
            "replication": {
                "auto": {
                    "customerManagedEncryption": {
                        "kmsKeyName": "projects/p1/locations/global/keyRings/"
                        "kmskeyring-u1/cryptoKeys/kmscryptokey-u1"
                    }
                }
            },
            "rotation": {
                "nextRotationTime": "2025-10-02T15:01:23Z",
                "rotationPeriod": "3600s",
            },
            "topics": [{"name": "projects/p1/topics/topic-u1"}],
        },
    ),
    (
        "sqlinstance__sqlinstance-databaseflags-direct",
        SQL,
        {
            "name": "sqlinstance-databaseflags-direct-u1",
            **REGION,
            "databaseVersion": "POSTGRES_15",
            "deletionProtection": False,
            "settings": {
                **POSTGRES,
                "databaseFlags": [{"name": "log_connections", "value": "on"}],
                "locationPreference": {"zone": "us-central1-a"},
            },
        },
    ),
    (
        "sqlinstance__sqlinstance-replica-direct",
        SQL,
        {
            "name": "sqlinstance-replica-direct-u1",
            **REGION,
            "databaseVersion": "MYSQL_5_7",
            "masterInstanceName": "p1:sqlinstance-master-direct-u1",
            "instanceType": "READ_REPLICA_INSTANCE",
            "settings": {
                **POSTGRES,
                "locationPreference": {"zone": "us-central1-b"},
            },
        },
    ),
    (
        "storagebucket__storagebucketautoclass",
        "gcp:storage/bucket:Bucket",
        {
            "name": "storagebucket-autoclass-u1",
            "autoclass": {"enabled": True, "terminalStorageClass": "NEARLINE"},
            "labels": ONE,
            "location": "US",
            "storageClass": "STANDARD",
            "uniformBucketLevelAccess": True,
        },
    ),
    (
        "storagebucket__storagebucketbasic",
        "gcp:storage/bucket:Bucket",
        {
            "name": "storagebucket-sample-u1",
            "forceDestroy": False,
            "labels": ONE,
            "lifecycleRules": [
                {
                    "action": {"type": "Delete"},
                    "condition": {"age": 7.0, "withState": "ANY"},
                }
            ],
            "location": "US",
            "softDeletePolicy": {"retentionDurationSeconds": 604800.0},
            "storageClass": "STANDARD",
            "uniformBucketLevelAccess": False,
            "versioning": {"enabled": False},
        },
    ),
]
