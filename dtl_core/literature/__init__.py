"""Published tables of M dwarfs, how they are matched and compared, kinematics and isochrones."""
