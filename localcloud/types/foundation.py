"""APIs, peering, service accounts, custom roles, the image."""

from localcloud.types.base import Create, Json, ResourceType

SOURCE = "serviceusage v1, servicenetworking v1 and iam v1 discovery; gcp.md 2"
DROP = frozenset({"deletionPolicy", "project"})


def _account_body(body: Json) -> Json:
    identity = body.pop("accountId")
    body.pop("createIgnoreAlreadyExists", None)
    return {"accountId": identity, "serviceAccount": body}


def _account_defaults(body: Json) -> None:
    body.update(body.pop("serviceAccount", {}))


def _account_outputs(inputs: Json, body: Json, path: str) -> Json:
    email = path.rsplit("/", 1)[-1]
    return {
        "email": email,
        "member": f"serviceAccount:{email}",
        "name": path.split("/", 1)[1],
    }


def _role_body(body: Json) -> Json:
    identity = body.pop("roleId")
    body["includedPermissions"] = body.pop("permissions", [])
    return {"roleId": identity, "role": body}


def _role_defaults(body: Json) -> None:
    body.update(body.pop("role", {}))


def _role_outputs(inputs: Json, body: Json, path: str) -> Json:
    return {"name": path.split("/", 1)[1]}


def _identity_outputs(inputs: Json, body: Json, path: str) -> Json:
    """Google's agent of an API in this project, named by the project's number."""
    project = path.split("/")[2]
    api = inputs["service"].split(".")[0]
    email = f"service-{project}@gcp-sa-{api}.iam.gserviceaccount.com"
    return {"email": email, "member": f"serviceAccount:{email}"}


TYPES = (
    ResourceType(
        token="gcp:projects/service:Service",
        api="serviceusage.googleapis.com",
        schema="EnableServiceRequest",
        path="v1/projects/{project}/services/{id}",
        source=SOURCE,
        id_input="service",
        create=Create.ENABLE,
        update="",
        drop=DROP
        | {
            "checkIfServiceHasUsageOnDestroy",
            "disableDependentServices",
            "disableOnDestroy",
            "service",
        },
        replace=frozenset({"project", "service"}),
    ),
    ResourceType(
        token="gcp:projects/serviceIdentity:ServiceIdentity",
        api="serviceusage.googleapis.com",
        schema="EnableServiceRequest",
        path="v1beta1/projects/{project}/services/{id}",
        source=SOURCE,
        id_input="service",
        create=Create.ENABLE,
        update="",
        drop=DROP | {"service"},
        replace=frozenset({"project", "service"}),
        outputs=_identity_outputs,
    ),
    ResourceType(
        token="gcp:servicenetworking/connection:Connection",
        api="servicenetworking.googleapis.com",
        schema="Connection",
        path="v1/services/{service}/connections/{id}",
        source=SOURCE,
        create=Create.SERVER,
        auto_id=lambda inputs: inputs["network"].rsplit("/", 1)[-1],
        drop=DROP | {"service", "updateOnCreationFail"},
        replace=frozenset({"network", "service"}),
    ),
    ResourceType(
        token="gcp:serviceaccount/account:Account",
        api="iam.googleapis.com",
        schema="CreateServiceAccountRequest",
        path="v1/projects/{project}/serviceAccounts/{id}@{project}.iam.gserviceaccount.com",
        source=SOURCE,
        create=Create.BODY,
        id_field="accountId",
        auto_id=lambda inputs: inputs["accountId"],
        drop=DROP,
        replace=frozenset({"accountId", "project"}),
        body=_account_body,
        defaults=_account_defaults,
        outputs=_account_outputs,
    ),
    ResourceType(
        token="gcp:projects/iAMCustomRole:IAMCustomRole",
        api="iam.googleapis.com",
        schema="CreateRoleRequest",
        path="v1/projects/{project}/roles/{id}",
        source=SOURCE,
        id_input="roleId",
        id_field="roleId",
        create=Create.BODY,
        drop=DROP,
        replace=frozenset({"project", "roleId"}),
        body=_role_body,
        defaults=_role_defaults,
        outputs=_role_outputs,
    ),
)
