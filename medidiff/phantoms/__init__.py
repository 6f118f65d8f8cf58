"""Procedural volumes and phantoms: noise-free, seeded, made from numpy and scipy alone."""
