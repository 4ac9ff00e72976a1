"""Objectives: what an optimizer is asked for, read from any dose, with where every number came from."""
