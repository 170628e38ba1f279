"""The rules as a policy pack of the Pulumi engine.

    pulumi preview --policy-pack "$PWD/policy/pack/meridian-policy"

The path is absolute: the engine starts the pack from the folder of the program.
"""
