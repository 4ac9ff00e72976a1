"""Intra-patient DVH variability: how far achieved DVHs lie from what was predicted, by several definitions at once."""
