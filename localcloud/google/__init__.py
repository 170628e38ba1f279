"""What Google's APIs accept, by the discovery documents that Google publishes.

documents   the documents, read once an API and cut down to the schemas that are asked
schema      a body against a schema (pure)
bodies      the inputs of a Pulumi resource against the schema of its type
"""
