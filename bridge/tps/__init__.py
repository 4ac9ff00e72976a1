"""The hand-over to the planning system: one objective set, in each form that a system takes."""
