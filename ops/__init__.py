"""The `meridian` command, in reading order.

cli, commands/   the commands and their options, a module a group
stack, backend   one stack: its state, lock, configuration; what a clone keeps
engine, inline   one run of the Pulumi engine; many, in forks of a warmed process
program          a stack's program, served to such an engine
fleet, stamps    all stacks of an environment, in order; which need no `up` at all
preview          what would change, and which rules it breaks
apply, gate      waves, the watch between them, the way back
records          who applied what; acceptances: findings that may stand for a while
layout, drift    the state moves between layouts; what is otherwise than was applied
diff/            the reviewer's digest
model, cost      plan, findings, prices: no engine
policy           the rules over a plan, a preview, a state
world            the local world: up, down, status, logs
data, demo/      put, search, watch through a front door; the demonstration
"""
