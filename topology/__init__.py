"""The model: a catalogue is read, checked and turned into a plan. No pulumi here.

Layout, in reading order:

errors      what a bad catalogue raises: every problem with place and remedy
settings    annotations of catalogue keys: range, unit, source
callers     rates by tier and issuers of tokens, as the service reads them
catalogue   the frozen records that a catalogue file is bound to
reader      YAML with line numbers -> records; the only input and output here
checks      rules that need more than one key (ranges, shares, partners)
facts       regions and round trips, from `data/`
limits      what Google allows, with sources
prices      the dated price book, from `data/`
names       the one maker of physical names
capacity    shares, tiers and subnets: arithmetic that several modules need
trace       quantities that keep what they were made from
quantities  every output of the model: demand, instances, data, cost
findings    what the plan cannot do, said before anything is created
plan        all of it together, JSON-able
verdict     possible, after which requests, or why not
explain     a figure as the tree of what it was made from; notes: the file's comments
bill        the month as lines; events, what_if and peer price other cases
schema      the JSON schema that editors use; parameters: the reference page
"""

from topology.catalogue import Catalogue, Durability, ScalingOwner
from topology.errors import CatalogueError, Problem
from topology.plan import Plan, RegionPlan, make_plan
from topology.reader import load, read

__all__ = [
    "Catalogue",
    "CatalogueError",
    "Durability",
    "Plan",
    "Problem",
    "RegionPlan",
    "ScalingOwner",
    "load",
    "make_plan",
    "read",
]
