"""Libraries of plans: how they lie on disk, and how training reads them. They are made in bridge.workflow.library."""
