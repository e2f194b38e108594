"""Universal vocoders of the default front ends: trained weights, and the graph that they run in."""
