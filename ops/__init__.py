"""The `meridian` command.

cli        the commands and their options
engine     environment, stacks and runs of the Pulumi engine
world      the local world: up, down, status, logs
preview    what would change
model      plan and findings
data       put, search, watch through a region's front door
demo       the live demonstration
"""
