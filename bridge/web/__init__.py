"""The review room: what a browser sees of the bridge, and what its users may do there."""
