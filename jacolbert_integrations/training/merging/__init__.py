"""One checkpoint out of several: averages, SLERP, and the greedy soup."""
