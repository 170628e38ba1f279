"""Members of roles in the policies of other resources."""

from localcloud.types.base import IamMemberType, Json

SOURCE = "getIamPolicy and setIamPolicy of each API's discovery document"


def _last(text: str) -> str:
    return text.rsplit("/", 1)[-1]


def _project(inputs: Json, project: str) -> str:
    return f"v1/projects/{inputs.get('project') or project}"


def _topic(inputs: Json, project: str) -> str:
    return f"{_project(inputs, project)}/topics/{_last(inputs['topic'])}"


def _subscription(inputs: Json, project: str) -> str:
    return f"{_project(inputs, project)}/subscriptions/{_last(inputs['subscription'])}"


def _secret(inputs: Json, project: str) -> str:
    return f"{_project(inputs, project)}/secrets/{_last(inputs['secretId'])}"


def _bucket(inputs: Json, project: str) -> str:
    return f"storage/v1/b/{inputs['bucket']}"


TYPES = (
    IamMemberType(
        token="gcp:projects/iAMMember:IAMMember",
        api="cloudresourcemanager.googleapis.com",
        policy=_project,
        source=SOURCE,
    ),
    IamMemberType(
        token="gcp:pubsub/topicIAMMember:TopicIAMMember",
        api="pubsub.googleapis.com",
        policy=_topic,
        source=SOURCE,
        read=("GET", ":getIamPolicy"),
    ),
    IamMemberType(
        token="gcp:pubsub/subscriptionIAMMember:SubscriptionIAMMember",
        api="pubsub.googleapis.com",
        policy=_subscription,
        source=SOURCE,
        read=("GET", ":getIamPolicy"),
    ),
    IamMemberType(
        token="gcp:secretmanager/secretIamMember:SecretIamMember",
        api="secretmanager.googleapis.com",
        policy=_secret,
        source=SOURCE,
        read=("GET", ":getIamPolicy"),
    ),
    IamMemberType(
        token="gcp:storage/bucketIAMMember:BucketIAMMember",
        api="storage.googleapis.com",
        policy=_bucket,
        source=SOURCE,
        read=("GET", "/iam"),
        write=("PUT", "/iam"),
        bare=True,
    ),
)
