"""The cohort study: the same patients by several ways of predicting, one engine, and how well each kept its promise."""
