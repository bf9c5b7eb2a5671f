"""The paper's trained ensemble: from fluxes of any number of stars to estimates, in bounded memory."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from ..arrays import part_of
from ..errors import DataError
from ..estimates.density import kde_mode
from ..machine import affordable_workers
from ..networks.autoencoder import Autoencoder
from ..networks.regressor import load_regressors, regressors_of
from ..networks.training import choose_device
from ..parameters import PARAMETERS
from ..processes import ordered, worker_pool

__all__ = ["Ensemble", "estimate_stream"]


class Ensemble:
    """The autoencoders of a run and the regressors that were kept.

    Parameters
    ----------
    run : Run
        Up to the catalogue.
    encoder : str
        ``transfer``, autoencoders after fine-tuning, or ``direct``, before.
    device : str
        ``cpu``, ``cuda`` or ``auto``.
    """

    def __init__(self, run, encoder="transfer", device="cpu"):
        self.config, self.device, self.n_pixels = run.config, choose_device(device), len(run.wavelength)
        selection, n = run.arrays("catalogue", "selection"), run.config.regression.n_models
        kept = {name: selection[f"kept_{name}"] for name in PARAMETERS}  # numbers over all autoencoders
        self._n_kept = {name: len(numbers) for name, numbers in kept.items()}
        self._members = []
        for member in range(len(run.architectures)):
            places = {name: np.flatnonzero(numbers // n == member) for name, numbers in kept.items()}
            places = {name: where for name, where in places.items() if len(where)}
            if not places:
                continue  # none of its regressors is among the best
            model = run.autoencoder(member, tuned=encoder == "transfer")
            model.decoder = None  # half of the memory
            path = run.store.path("regression", run.keys["regression"][member])
            regressors = {}
            for name, where in places.items():
                own = load_regressors(self.config, path, name, kept[name][where] % n)
                regressors[name] = where, own.to(self.device)
            self._members.append((model.to(self.device), regressors))

    def arrays(self):
        """Arguments of :meth:`from_arrays`.

        Returns
        -------
        weights : dict of str to Tensor
        members : list of dict
            For each autoencoder its width and, by parameter, the places of its regressors among all that were kept.
        """
        weights, members = {}, []
        for number, (model, regressors) in enumerate(self._members):
            weights |= {f"autoencoder{number}.{name}": v for name, v in model.state_dict().items()}
            for parameter, (_, regressor) in regressors.items():
                weights |= {f"{parameter}{number}.{name}": v for name, v in regressor.state_dict().items()}
            places = {name: where.tolist() for name, (where, _) in regressors.items()}
            members.append({"width": model.encoder[0].matrix.shape[2], "places": places})
        return weights, members

    @classmethod
    def from_arrays(cls, config, weights, members):
        """Create an ensemble from its arrays.

        Parameters
        ----------
        config : Config
            Configuration of the run.
        weights, members : dict, list
            As returned by :meth:`arrays`; weights may be NumPy arrays.

        Returns
        -------
        Ensemble
        """
        weights = {name: torch.as_tensor(value) for name, value in weights.items()}
        out = cls.__new__(cls)
        out.config, out.device = config, choose_device("cpu")
        out._members, out._n_kept = [], dict.fromkeys(PARAMETERS, 0)
        for number, member in enumerate(members):
            state = part_of(weights, f"autoencoder{number}.")
            out.n_pixels, settings = len(state["flux_mean"]), config.autoencoder
            options = {"bottleneck": settings.bottleneck, "flux_ceiling": settings.flux_ceiling}
            model = Autoencoder(out.n_pixels, member["width"], [0], **options)
            model.decoder = None
            model.load_state_dict(state)
            regressors = {}
            for name, places in member["places"].items():
                own = regressors_of(config, name, part_of(weights, f"{name}{number}."))
                regressors[name] = np.asarray(places), own
                out._n_kept[name] += len(places)
            out._members.append((model, regressors))
        return out

    @torch.no_grad()
    def latent(self, flux):
        """Latents (n_stars, n_units) of the first autoencoder."""
        return self._members[0][0].encode(torch.as_tensor(flux, device=self.device))[0].cpu().numpy()

    def both(self, flux):
        """Modes and half widths of the 1-sigma intervals, (n_stars, 4) each."""
        estimates = self.estimate(np.asarray(flux))
        return estimates[..., 0], np.maximum(estimates[..., 1:].mean(-1), 1e-6)

    @torch.no_grad()
    def votes(self, flux):
        """Estimates of all kept regressors.

        Parameters
        ----------
        flux : (n_stars, n_pixels)
            Continuum 1.

        Returns
        -------
        dict of str to ndarray
            Parameter -> (n_kept, n_stars), as in the selection of the catalogue.

        Raises
        ------
        DataError
            The number of pixels is wrong, or fluxes are not finite.
        """
        flux = np.ascontiguousarray(flux, dtype=np.float32)
        if flux.ndim != 2 or flux.shape[1] != self.n_pixels:
            remedy = f"put the spectra on the run's grid of {self.n_pixels} pixels"
            raise DataError(f"has shape {flux.shape}", field="flux", remedy=remedy)
        if not np.isfinite(flux).all():
            bad = int(np.flatnonzero(~np.isfinite(flux).all(1))[0])
            raise DataError(f"spectrum {bad} is not finite", field="flux", remedy="bridge its gaps first")
        x = torch.from_numpy(flux).to(self.device)
        votes = {name: np.empty((kept, len(flux)), np.float32) for name, kept in self._n_kept.items()}
        for model, regressors in self._members:
            latent = model.encode(x)[0]
            for name, (where, regressor) in regressors.items():
                votes[name][where] = regressor.predict(latent, batch_size=64).cpu().numpy()
        return votes

    def estimate(self, flux):
        """Mode, lower and upper 1-sigma error of every parameter: (n_stars, 4, 3)."""
        settings, votes = self.config.estimate, self.votes(flux)
        found = [kde_mode(votes[name], grid_size=settings.grid_size, rule=settings.bandwidth) for name in PARAMETERS]
        return np.array(found).transpose(2, 0, 1)


_ensemble = None  # of a worker process


def _start(run, encoder):
    global _ensemble
    _ensemble = Ensemble(run, encoder)


def _estimate(flux):
    return _ensemble.estimate(flux)


def estimate_stream(run, chunks, *, encoder="transfer", workers=0):
    """Estimate the parameters of any number of stars, chunk by chunk, over worker processes.

    At most two chunks per worker are held at a time, so memory does not grow with the number of stars.

    Parameters
    ----------
    run : Run
    chunks : iterable of (n_stars, n_pixels)
        Fluxes with continuum 1, some hundred stars each.
    encoder : str
        As for :class:`Ensemble`.
    workers : int
        Number of processes; 0 takes one per core, or as many as memory allows.

    Yields
    ------
    ndarray of shape (n_stars, 4, 3)
        Estimates of each chunk, in order; see :meth:`Ensemble.estimate`.

    Raises
    ------
    DTLError
        A worker process died.
    """
    workers = workers or affordable_workers()
    bare = dataclasses.replace(run)  # without the arrays that it has read from the store
    with worker_pool(workers, _start, (bare, encoder), remedy="use fewer workers or smaller chunks") as pool:
        yield from ordered(pool, _estimate, chunks, 2 * workers)
