"""Tables like the public ones: the layout is theirs, the numbers are ours."""

import numpy as np
import pandas as pd

STARS = ["J00051+457", "J00067-075", "J11110+304", "J16581+257", "J23492+024", "J22565+165"]
# sources as the table of reference statistics among the public data calls them
REFERENCE_NAMES = {
    "Pass20 (DL)": "Pass20",
    "Bello23 (DTL)": "Bello23",
    "Mar21 (fixed logg run 2)": "Mar21 run 2",
    "Mar21 uncorrected [Fe/H]1": "Mar21 uncorrected",
    "Rein18 (vsini col of Mar21)": "Rein18",
    "Schw19 (spectroscopic logg)": "Schw19 spectroscopic",
    "Interferometric (14)": "Interferometric",
    "FGK+M (6)": "FGK+M",
}


def published_frame(n=6):
    """Stars of the published layout: easy numbers, one above 3750 K and one above 12 km/s."""
    frame = pd.DataFrame({"karmn": STARS[:n], "ra_gaiadr3": np.arange(n) * 20.0, "dec_gaiadr3": np.arange(n) * 5.0})
    values = {
        "Teff": [3100.0, 3300, 3500, 3700, 3900, 4100],
        "logg": [5.1, 5.0, 4.9, 4.8, 4.7, 4.7],
        "[M/H]": [-0.4, -0.2, 0.0, 0.1, 0.2, -0.1],
        "vsini": [2.0, 3.0, 2.5, 2.0, 20.0, 2.2],
    }
    bars = {"Teff": (30.0, 50.0), "logg": (0.05, 0.02), "[M/H]": (0.1, 0.06), "vsini": (0.3, 0.5)}
    for name, numbers in values.items():
        frame[name], frame[f"e_{name}"], frame[f"E_{name}"] = numbers[:n], *bars[name]
    return frame


def write_tables(folder):
    """Every table of ``published/`` in a new folder; returns the folder."""
    folder.mkdir()
    ours = published_frame()
    ours.to_csv(folder / "mas_buitrago_2024.csv", index=False)
    padded = [f"{name} " for name in STARS]
    one = pd.DataFrame(
        {
            "Karmn": padded,
            "Teff": ours.Teff + 40,
            "e_Teff": 51,
            "logg": ours.logg - 0.1,
            "e_logg": 0.07,
            "[Fe/H]": ours["[M/H]"] + 0.05,
            "e_[Fe/H]": 0.16,
        }
    )
    for name in ("pass18", "mann15", "gaid14", "gm14"):
        one.to_csv(folder / f"{name}.csv", index=False)
    pd.DataFrame(
        {
            "Karmn": padded,
            **{
                f"{e}{p}{arm}": one[f"{e}{p}"] + 0.01 * len(arm)
                for arm in ("V", "N", "VN")
                for p in ("Teff", "logg", "[Fe/H]")
                for e in ("", "e_")
            },
        }
    ).to_csv(folder / "pass19.csv", index=False)
    one.assign(loggc=ours.logg + 0.06, e_loggc=0.03).to_csv(folder / "schw19.csv", index=False)
    mar21 = pd.DataFrame({"Karmn": [f"{name} ".replace("304", "304W") for name in STARS[::-1]]})  # backwards
    for column in ("Teff1", "Teff2"):
        mar21[column], mar21[f"e_{column}"] = ours.Teff.to_numpy()[::-1] - 19, 16
    mar21["logg1"], mar21["e_logg1"] = ours.logg.to_numpy()[::-1] + 0.12, 0.08
    for column, shift in (("[Fe/H]1", -0.2), ("Corr1", -0.1), ("Corr2", -0.15)):
        mar21[column], mar21[f"e_{column}"] = ours["[M/H]"].to_numpy()[::-1] + shift, 0.05
    mar21["vsini"], mar21["e_vsini"] = [2.0, 18.0, 2.0, 2.0, 2.9, 2.0], [None, 1.6, None, None, 1.5, None]
    mar21.to_csv(folder / "mar21.csv", index=False)
    deep = pd.DataFrame({"KARMN": STARS})
    for name, column in (("TEFF", "Teff"), ("LOGG", "logg"), ("ZETA", "[M/H]"), ("VSINI", "vsini")):
        deep[f"{name}_MODE"], deep[f"{name}_STD"] = ours[column] * 1.01, 0.3
    deep.to_csv(folder / "dl.csv", index=False)
    deep.drop(columns=["LOGG_MODE", "LOGG_STD", "VSINI_MODE", "VSINI_STD"]).to_csv(folder / "dtl.csv", index=False)
    pd.DataFrame({"karmn": STARS[2:5], "teff_interf": [3460, 3670, 3960]}).to_csv(
        folder / "interferometric_14.csv", index=False
    )
    pd.DataFrame({"karmn": STARS[:2], "mh_fgk_primary": [-0.35, 0.1]}).to_csv(folder / "fgk_m_6.csv", index=False)
    pd.DataFrame(
        {
            "karmn": STARS,
            "gaia_dr3_id": ["386655019234959872"] * 5 + [""],
            "name": ["GJ 2", *"abcde"],
            "ra": 10.0,
            "dec": 20.0,
            "plx": [86.9, 206.3, 50.0, 50.0, 50.0, None],
            "pmra": 1.0,
            "pmdec": 2.0,
            "rv": 3.0,
            "lbol": 0.02,
            "bp_mag": 14.0,
            "g_mag": 12.0,
            "rp_mag": 11.0,
            "j_mag": 9.0,
            "pop": ["YD", "D ", "D", "TD", "TD-D", "D"],
            "banyanYA": [""] * 5 + ["ABDMG"],
            "ha_active": [1, 0, 0, 0, 0, 1],
            "subdwarf_like": "False",
            "schw19_young_extra": ["True"] + ["False"] * 5,
        }
    ).to_csv(folder / "stars_286.csv", index=False)
    return folder
