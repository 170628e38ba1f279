"""Every bad catalogue stops with the line, the value, the limit and the remedy."""

from collections.abc import Callable
from pathlib import Path

import pytest
from bad_input import FILE, PROD, complaint, edited, line_of

from topology import CatalogueError, load
from topology.reader import CATALOGUES


def test_a_typo_in_a_key_is_one_problem_with_the_nearest_key() -> None:
    text, line = edited("concurrency: 100 ", "concurency: 100 ")
    assert complaint(text) == (
        f"{FILE}:{line}: service.concurency: unknown key: did you mean concurrency?"
    )


def test_a_missing_key_is_named() -> None:
    text, _ = edited("durability: guarded\n", "")
    line = line_of(text, "schema_version")
    assert complaint(text) == (
        f"{FILE}:{line}: durability: missing, and it has no default: add the key."
    )


def test_a_subnet_too_small_says_how_many_addresses_are_needed() -> None:
    text, line = edited("cidr: 100.64.0.0/16", "cidr: 100.64.0.0/24")
    assert complaint(text) == (
        f"{FILE}:{line}: regions.us-central1.cidr: 100.64.0.0/24 holds 256 addresses, "
        "16,020 are needed (8,010 instances x 2; 32,040 while a revision rolls out): "
        "use /17 or larger."
    )


def test_a_subnet_below_googles_smallest_is_refused() -> None:
    text = (CATALOGUES / "local.yaml").read_text(encoding="utf-8")
    text = text.replace(
        "cidr: 100.64.3.0/24", "cidr: 100.64.3.0/27\n    max_instances: 5"
    )
    line = line_of(text, "cidr: 100.64.3.0/27")
    assert complaint(text) == (
        f"{FILE}:{line}: regions.asia-southeast1.cidr: 100.64.3.0/27 holds 32 "
        "addresses, Direct VPC egress takes /26 or larger: use /26 or larger."
    )


def test_two_regions_with_one_range_are_both_named() -> None:
    text, line = edited("cidr: 100.65.0.0/16", "cidr: 100.64.0.0/16")
    assert complaint(text) == (
        f"{FILE}:{line}: regions.europe-west1.cidr: 100.64.0.0/16 is the same as "
        "regions.us-central1.cidr 100.64.0.0/16: give each region a range of its own."
    )


def test_overlapping_ranges_are_both_named() -> None:
    text, line = edited("cidr: 100.80.16.0/20", "cidr: 100.80.0.0/19")
    assert complaint(text) == (
        f"{FILE}:{line}: regions.us-west1.cidr: 100.80.0.0/19 overlaps "
        "regions.us-east1.cidr 100.80.0.0/20: give each region a range of its own."
    )


def test_a_range_outside_the_cells_is_refused() -> None:
    text, line = edited("cidr: 100.65.0.0/16", "cidr: 10.1.0.0/16")
    assert complaint(text) == (
        f"{FILE}:{line}: regions.europe-west1.cidr: 10.1.0.0/16 lies outside "
        "network.cells 100.64.0.0/10: choose a free range inside 100.64.0.0/10."
    )


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ("100.65.1.0/16", "did you mean 100.65.0.0/16?"),
        (
            "300.65.0.0/16",
            "write four numbers up to 255 and a prefix, such as 100.64.0.0/20.",
        ),
    ],
)
def test_what_is_no_range_is_refused(given: str, remedy: str) -> None:
    text, line = edited("cidr: 100.65.0.0/16", f"cidr: {given}")
    assert complaint(text) == (
        f"{FILE}:{line}: regions.europe-west1.cidr: {given} is not an IPv4 range: "
        f"{remedy}"
    )


def test_an_unknown_region_is_refused_with_the_nearest() -> None:
    text, line = edited("  us-east1:", "  us-eats1:")
    assert complaint(text) == (
        f"{FILE}:{line}: regions.us-eats1: unknown region: did you mean us-east1?"
    )


def test_a_maximum_below_the_minimum_is_refused() -> None:
    text, line = edited(
        "    cidr: 100.65.0.0/16", "    cidr: 100.65.0.0/16\n    max_instances: 10"
    )
    assert complaint(text) == (
        f"{FILE}:{line + 1}: regions.europe-west1.max_instances: max_instances 10 is "
        "below min_instances 800 in europe-west1: use max_instances 800 or more, or "
        "lower min_instances."
    )


def test_concurrency_5000_names_the_limit_and_its_source() -> None:
    text, line = edited("concurrency: 100 ", "concurrency: 5000 ")
    assert complaint(text) == (
        f"{FILE}:{line}: service.concurrency: 5,000 requests is above the limit of "
        "1,000 (Cloud Run quotas and limits, read 2026-11): use 1,000 or less."
    )


def test_a_traffic_share_below_zero_is_refused() -> None:
    text, line = edited("traffic_share: 0.02", "traffic_share: -0.02")
    assert complaint(text) == (
        f"{FILE}:{line}: tiers.regional.traffic_share: -0.02 is below the limit of 0: "
        "use 0 or more."
    )


def test_shares_that_do_not_add_up_are_refused() -> None:
    text, _ = edited("traffic_share: 0.16", "traffic_share: 0.15")
    line = line_of(text, "\nregions:") + 1
    assert complaint(text) == (
        f"{FILE}:{line}: regions: traffic shares of 15 regions add up to 0.95, they "
        "must add up to 1: change shares by +0.05 in total, or leave traffic_share out "
        "of a region to give it the rest."
    )


def test_a_region_without_a_share_needs_something_left() -> None:
    text, _ = edited("    traffic_share: 0.02 # peer: 10M of 500M\n", "")
    text = text.replace("traffic_share: 0.16", "traffic_share: 0.2")
    line = line_of(text, "  us-east1:")
    assert complaint(text) == (
        f"{FILE}:{line}: regions.us-east1: no traffic_share, and the others already "
        "add up to 1: lower the others below 1 or state this one."
    )


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_an_empty_file_is_refused(text: str) -> None:
    assert complaint(text) == (
        f"{FILE}:1: the file is empty: copy stacks/catalogue/local.yaml and edit."
    )


def test_yaml_that_does_not_parse_names_its_line() -> None:
    text, line = edited("layout: whole", "layout: [whole")
    message = complaint(text)
    assert message.startswith(f"{FILE}:{line + 1}: not valid YAML: ")
    assert message.endswith(": correct this line.")


def test_a_key_given_twice_names_both_lines() -> None:
    text, line = edited("layout: whole", "layout: whole\nlayout: sliced")
    assert complaint(text) == (
        f"{FILE}:{line + 1}: layout: given twice, first on line {line}: delete one of "
        "the two."
    )


@pytest.mark.parametrize(
    ("old", "new", "rest"),
    [
        ("cpu: 4 ", "cpu: four ", "service.cpu: four is not a whole number: "
         "write a whole number."),
        ("cpu: 4 ", "cpu: 4.0 ", "service.cpu: 4.0 is not a whole number: "
         "write a whole number."),
        ("cpu: 4 ", "cpu: 3 ", "service.cpu: 3 vCPU is not one of 1, 2, 4, 6, 8: "
         "use one of 1, 2, 4, 6, 8."),
        ("memory_gib: 16 ", "memory_gib: 17 ", "service.memory_gib: 17 GiB is outside "
         "2-16 GiB for 4 vCPU: use 2 to 16, or another cpu."),
        ('project_number: "100000000001"', "project_number: 100000000001",
         "project_number: 100000000001 is not text: write it in quotes: "
         '"100000000001".'),
        ("layout: whole", "layout: hole", "layout: hole is not one of whole, sliced: "
         "did you mean whole?"),
        ("transit_encryption: true", "transit_encryption: 1",
         "cache.transit_encryption: 1 is not true or false: write true or false."),
        ("log_sample: 0.01", "log_sample: .nan",
         "edge.log_sample: .nan is not a number: write a number."),
        ("location: us ", "location: [us] ", "image.location: a list is not text: "
         "write text."),
        ("layout: whole", "layout: !!python/object:os.system whole",
         "layout: tag tag:yaml.org,2002:python/object:os.system is not allowed: "
         "delete the tag."),
        ("prefix: meridian", "prefix: Meridian", "prefix: 'Meridian' does not fit: "
         "write text of the form [a-z][a-z0-9-]{0,11}."),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_kind_is_named(old: str, new: str, rest: str) -> None:
    text, line = edited(old, new)
    assert complaint(text) == f"{FILE}:{line}: {rest}"


def test_a_regional_region_needs_a_hub_that_is_one() -> None:
    text, line = edited("    hub: us-central1", "    hub: us-central2")
    assert complaint(text) == (
        f"{FILE}:{line}: regions.us-east1.hub: us-central2 is no hub of this "
        "catalogue: did you mean us-central1?"
    )


def test_a_name_too_long_for_google_is_refused() -> None:
    text, _ = edited(
        "project: meridian-prod", "project: meridian-production-0000000000"
    )
    assert complaint(text) == (
        f"{FILE}:9: prefix: bucket name meridian-production-0000000000-northamerica-"
        "northeast1-snapshots has 64 characters, 63 are allowed: use a shorter prefix "
        "or project."
    )


def test_every_problem_is_told_at_once_in_the_order_of_the_file() -> None:
    text, first = edited("layout: whole", "layout: hole")
    text = text.replace("concurrency: 100 ", "concurrency: 0 ")
    lines = complaint(text).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["layout", "service.concurrency"]
    assert lines[0].startswith(f"{FILE}:{first}: ")


def test_a_catalogue_of_another_environment_is_refused() -> None:
    assert complaint(PROD, "local") == (
        f"{FILE}:6: environment: 'prod' is not the file's name 'local': write local."
    )


def test_an_environment_without_a_catalogue_names_those_there_are() -> None:
    with pytest.raises(CatalogueError) as caught:
        load("pord")
    assert str(caught.value) == (
        "stacks/catalogue/pord.yaml:1: there is no catalogue of an environment 'pord': "
        "use one of local, prod, staging, or write this file."
    )


def test_a_file_that_is_not_utf8_names_the_byte(tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(CatalogueError, match=r"odd\.yaml:2: byte 0xff is not UTF-8"):
        load("odd", tmp_path)


def test_a_budget_of_nothing_is_refused() -> None:
    text, line = edited("monthly: 5_000_000", "monthly: 0")
    assert complaint(text) == (
        f"{FILE}:{line}: budget.monthly: 0 units of the currency is below the limit of "
        "1: use 1 or more."
    )


@pytest.mark.parametrize(
    ("version", "remedy"),
    [
        (2, "use the release that wrote it, there is no migration 2 -> 1."),
        (0, "there is no migration 0 -> 1: version 1 is the first, copy "
         "stacks/catalogue/local.yaml."),
    ],
)  # fmt: skip
def test_another_schema_version_names_the_migration(version: int, remedy: str) -> None:
    text, line = edited("schema_version: 1", f"schema_version: {version}")
    text = text.replace("concurrency: 100 ", "concurency: 100 ")
    assert complaint(text) == (
        f"{FILE}:{line}: schema_version: version {version} is not 1, the form that "
        f"this release reads: {remedy}"
    )


def test_a_canary_must_be_a_region() -> None:
    text, line = edited("rollout:\n", "rollout:\n  canary: us-central9\n")
    assert complaint(text) == (
        f"{FILE}:{line + 1}: rollout.canary: us-central9 is no region of this "
        "catalogue: did you mean us-central1?"
    )


def test_an_event_on_a_day_that_is_none_is_refused() -> None:
    text, line = edited("start: 2026-07-19T18:00Z", "start: 2026-02-31T18:00Z")
    assert complaint(text) == (
        f"{FILE}:{line}: events.world-cup-final.start: 2026-02-31T18:00Z is no day of "
        "the calendar: write a date and time in UTC, such as 2026-07-19T18:00Z."
    )


def test_a_pooler_needs_the_edition_that_has_one() -> None:
    text, line = edited(
        "  primary_connections: 2",
        "  pooled_connections: 500\n  primary_connections: 2",
    )
    assert complaint(text) == (
        f"{FILE}:{line}: database.pooled_connections: 500 given, but Google's pooler "
        "takes edition ENTERPRISE_PLUS and not ENTERPRISE: set database.edition to "
        "ENTERPRISE_PLUS, or delete the key."
    )


def test_enterprise_plus_has_shapes_of_its_own() -> None:
    text, _ = edited("edition: ENTERPRISE ", "edition: ENTERPRISE_PLUS ")
    lines = complaint(text).splitlines()
    place = line_of(text, "database_memory_gib: 16")
    assert lines[0] == (
        f"{FILE}:{place}: tiers.hub.database_memory_gib: 16 GiB is no shape of "
        "ENTERPRISE_PLUS with 4 vCPU: use 32."
    )
    assert len(lines) == 2


MUTATIONS: list[Callable[[str], str]] = [
    lambda text: text[: len(text) // 2],
    lambda text: text.replace(":", "", 40),
    lambda text: text.replace("  ", "\t"),
    lambda text: text + "\x00",
    lambda text: "- " + text,
    lambda text: text.replace("regions:\n", "regions:\nregions_of_old:\n"),
    lambda text: text.replace("tiers:", "tiers: &t\n  <<: *t"),
]


@pytest.mark.parametrize("mutate", MUTATIONS)
def test_a_damaged_file_ends_in_a_catalogue_error(
    mutate: Callable[[str], str],
) -> None:
    assert complaint(mutate(PROD)).startswith(f"{FILE}:")
