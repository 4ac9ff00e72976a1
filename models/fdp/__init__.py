"""FDP, the Flexible Dose Proposer: dose from CT, structures, beams and the planner's preferences."""
