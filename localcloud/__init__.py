"""The machine-sized cloud.

`types/`     one entry per declared resource type: how inputs become Google's body,
defaults, outputs, what replaces
`google/`    what Google's APIs accept as a body, by their discovery documents
`provider/`  the Pulumi provider plugin: Check and Diff from `types/`, then Google-
shaped REST to the control plane
`control/`   the control plane: REST, SQLite state, operations, Pub/Sub broker, secrets,
identity
`realise/`   what runs a declared resource: Cloud Run, SQL, Redis, Envoy, Prometheus
"""
