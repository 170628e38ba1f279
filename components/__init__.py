"""Pulumi component classes: they take numbers from `topology` and register resources.

Layout, in reading order:

_base           Component, `coerce` of arguments, `after` for readiness, protection
network         the network and the range lent to managed services
identity        a service account and what it may do
messaging       topics between hubs, their dead letters and grants
image           registry and, where asked, the image built by Docker
foundation      all of the above: what every region stands on
_endpoints      Private Service Connect: what an endpoint needs
_sharded        shards and spellings of Redis Cluster and Valkey
cache           Memorystore of one region
database        Cloud SQL server of one region: primary or replica
inbox           subscriptions of one region
vault           bucket and secret of one region
_containers     environment, probes and shape of the service's container
regional_cell   everything that belongs to one region
_routes         URL map, backends and Armor rules of the load balancer
global_lb       anycast addresses, TLS, Armor, CDN and backends over the regions
budget          billing budget with thresholds
quotas          requests for more Cloud Run capacity
delivery        Cloud Deploy pipeline: waves, canary, roll-back
observability   dashboard and alert policies
package         all of them as a Pulumi package, and its reference page

No `from __future__ import annotations` here: Pulumi's component analyser reads the
annotations of these modules as objects.
"""
