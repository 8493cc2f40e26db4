"""Devices and processes that train together, through Lightning Fabric."""
