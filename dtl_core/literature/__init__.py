"""Published tables of M dwarfs, how they are matched, compared and joined, kinematics and isochrones."""
