"""Catalogues and programs. A program is catalogue -> plan -> layers -> exports.

Layout, in reading order:

catalogue/      one YAML file an environment, and the JSON schema editors use
importing       imports of a program, without the collector
environment     what a program stands on: catalogue, plan, provider, findings
wiring          values that pass from layer to layer, by name
foundation/     the layer below every region
cell/           one region
edge/           the layer in front of every region
world/          all layers in one stack; the program of the root project
local/          project file of the local world; its program is the same
"""
