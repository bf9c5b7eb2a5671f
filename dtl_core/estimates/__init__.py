"""From the predictions of many networks to a value with an error, and whether a spectrum is an ordinary one."""
