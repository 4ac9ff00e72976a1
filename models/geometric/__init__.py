"""The geometric model: expected dose from the distance to each target level, with no learned weights."""
