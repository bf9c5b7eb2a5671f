"""From an observed spectrum to the input of the networks: velocity, co-adding, continuum, resolving power."""
