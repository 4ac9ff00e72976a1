"""Cases from arrival to delivery: states, jobs, store, audit trail, and the verbs of the bridge composed."""
