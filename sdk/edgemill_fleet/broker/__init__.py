"""The broker of a fleet: what a mosquitto has to know so that a box can speak for itself alone."""
