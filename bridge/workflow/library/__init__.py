"""Making a library of plans: cases, goals, weightings, the dose engine, and the run over all patients."""
