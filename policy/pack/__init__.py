"""The rules as a policy pack of the Pulumi engine: `--policy-pack policy/pack`'s
executable `meridian-policy`."""
