"""From the estimates of many networks to values with calibrated errors; outlier detection; measures of the gap."""
