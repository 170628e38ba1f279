"""Rules over planned resources, before anything is created.

Layout, in reading order:

field       a value at its path in a resource's inputs; unknowns are no values
record      the neutral record of a planned resource, and where records come from
world       all records of one stack: who depends on whom
rule        a rule, what it finds, and how rules are written
sources     where limits come from, with their dates
rules/      the rules, one module a subject
exemptions  switching a rule off, for a reason and until a date
check       runs rules over records
corpus      the faults of a real platform, mapped to rules; an example a rule
pack/       the same rules as a policy pack of the engine

Nothing but `pack` imports pulumi: a preview, a state and a recording are all read as
plain data.
"""
