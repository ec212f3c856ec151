"""Intake: what devices say over MQTT comes into the database, durably, and is acknowledged then.

It is the reference consumer (``edgemill_link.consumer``) over the fleet's tables, many messages to a transaction. Any
number of processes may do it behind one broker: they share a subscription, and the database decides between them.
"""
