"""Relay, applier and feeder: the log from region to region."""
