"""Instruments over MQTT."""
