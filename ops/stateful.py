"""Types that hold what cannot be made again: no roll-back may lose them unasked."""

STATEFUL = {
    "gcp:sql/databaseInstance:DatabaseInstance": "the last backup",
    "gcp:sql/database:Database": "the last backup",
    "gcp:redis/instance:Instance": "the database: the feed is filled again",
    "gcp:redis/cluster:Cluster": "the database: the feed is filled again",
    "gcp:memorystore/instance:Instance": "the database: the feed is filled again",
    "gcp:storage/bucket:Bucket": "soft delete, while its days last",
    "gcp:secretmanager/secret:Secret": "whoever holds its values",
}
"""Type token, and where its content may be had from after a loss."""
