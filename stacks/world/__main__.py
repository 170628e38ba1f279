"""The whole world in one stack: every layer, every region."""

import sys
from pathlib import Path

# The engine runs this folder, not the repository; installed or not, it is found.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from stacks.importing import importing

with importing():
    import pulumi

    from stacks.cell import cell
    from stacks.edge import edge
    from stacks.environment import open_world
    from stacks.foundation import foundation
    from stacks.wiring import CONTRACT, Wiring

world = open_world()
wiring = Wiring()
foundation(world, wiring)
for region in world.plan.creation_order:
    cell(world, wiring, region)
front = edge(world, wiring)

pulumi.export("contract", CONTRACT)
pulumi.export("address", front.address)
pulumi.export("address_v6", front.address_v6)
pulumi.export("domain", world.catalogue.domain)
pulumi.export("regions", list(world.plan.regions))
pulumi.export("verdict", world.plan.verdict)
