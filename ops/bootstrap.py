"""`meridian bootstrap`: what an organisation needs once, as commands to read and run.

Printed, not run: it makes projects and grants rights, and nothing here has credentials.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import topology
from ops import stack
from topology import Catalogue
from topology.deployers import Deployer, deployers, shared, state_bucket

Json = dict[str, Any]
KEYRING, KEY = "pulumi", "state"


def bootstrap(environment: str) -> Json:
    """Projects, state bucket, key and deployers, and the commands that make them."""
    stack.stack(environment)
    catalogue = topology.load(environment)
    return {
        "environment": environment,
        "projects": list(projects(catalogue)),
        "backend": f"gs://{state_bucket(catalogue)}",
        "secrets_provider": secrets_provider(catalogue),
        "deployers": [_deployer(each) for each in deployers(catalogue)],
        "shared": list(shared(catalogue)),
        "commands": list(commands(catalogue)),
    }


def projects(catalogue: Catalogue) -> dict[str, None]:
    """Every project, each once, the foundation's first."""
    cells = [catalogue.project_of("cells", name) for name in catalogue.regions]
    first, last = (catalogue.project_of(end) for end in ("foundation", "edge"))
    return dict.fromkeys((first, *cells, last))


def secrets_provider(catalogue: Catalogue) -> str:
    """What `pulumi stack init --secrets-provider` takes."""
    project = catalogue.project_of("foundation")
    where = f"projects/{project}/locations/{_location(catalogue)}"
    return f"gcpkms://{where}/keyRings/{KEYRING}/cryptoKeys/{KEY}"


def commands(catalogue: Catalogue) -> Iterator[str]:
    """Shell lines in the order they are to be run in."""
    project, bucket = catalogue.project_of("foundation"), state_bucket(catalogue)
    account, place = catalogue.budget.billing_account, _location(catalogue)
    for name in projects(catalogue):
        yield f"gcloud projects create {name}"
        yield f"gcloud billing projects link {name} --billing-account={account}"
    apis = "cloudkms.googleapis.com iam.googleapis.com storage.googleapis.com"
    yield f"gcloud services enable {apis} --project={project}"
    yield (
        f"gcloud storage buckets create gs://{bucket} --project={project} "
        f"--location={place} --uniform-bucket-level-access "
        "--public-access-prevention"
    )
    yield f"gcloud storage buckets update gs://{bucket} --versioning"
    common = f"--location={place} --project={project}"
    yield f"gcloud kms keyrings create {KEYRING} {common}"
    yield (
        f"gcloud kms keys create {KEY} --keyring={KEYRING} --purpose=encryption "
        f"{common}"
    )
    for deployer in deployers(catalogue):
        yield from _identity(catalogue, deployer)


def _identity(catalogue: Catalogue, deployer: Deployer) -> Iterator[str]:
    home = catalogue.project_of("foundation")
    email = f"{deployer.account}@{home}.iam.gserviceaccount.com"
    yield f"gcloud iam service-accounts create {deployer.account} --project={home}"
    yield (
        f"gcloud kms keys add-iam-policy-binding {KEY} --keyring={KEYRING} "
        f"--location={_location(catalogue)} --project={home} "
        f"--member=serviceAccount:{email} "
        "--role=roles/cloudkms.cryptoKeyEncrypterDecrypter"
    )
    for number, grant in enumerate(deployer.grants):
        line = (
            f"gcloud projects add-iam-policy-binding {grant.project} "
            f"--member=serviceAccount:{email} --role={grant.role} "
        )
        if grant.condition is None:
            yield f"{line}--condition=None"
            continue
        # ^:^ lets the expression hold commas.
        title = f"{deployer.piece.name}-{number}"
        value = f"^:^title={title}:expression={grant.condition}"
        yield f"{line}--condition={shlex.quote(value)}"


def _deployer(deployer: Deployer) -> Json:
    return {
        "slice": deployer.piece.name,
        "account": deployer.account,
        "grants": [
            {"role": g.role, "project": g.project, "condition": g.condition}
            for g in deployer.grants
        ],
    }


def _location(catalogue: Catalogue) -> str:
    """Where state and key lie: beside the first hub."""
    return topology.make_plan(catalogue).hubs[0]


def lines(answer: Json) -> Iterator[str]:
    """A script to read, with what it cannot do said in it."""
    name = answer["environment"]
    yield f"# {name}: read it, then run it with an owner's credentials."
    yield f"# State: {answer['backend']}, secrets by {answer['secrets_provider']}"
    if answer["shared"]:
        roles = ", ".join(answer["shared"])
        yield f"# Cells share a project: {roles} of one owner reach the others' too."
        yield "# Google has no condition for these services; states are kept apart."
    yield "set -eu"
    yield from answer["commands"]
