"""Inputs and initial weights of the speech decoder: harmonics of an F0, F0 statistics, trained weights."""
