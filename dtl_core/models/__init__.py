"""Trained models for other people's spectra: how they are made, stored, applied and adapted."""
