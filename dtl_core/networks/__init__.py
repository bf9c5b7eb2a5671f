"""The method of the paper: autoencoders, fine-tuning on observed spectra, and regressors on the latents.

Read in this order: :mod:`~dtl_core.networks.autoencoder` (model and loss), :mod:`~dtl_core.networks.training` (the
loop), :mod:`~dtl_core.networks.fine_tuning`, :mod:`~dtl_core.networks.regressor`.
"""

from ..extras import import_extra

import_extra("torch", "train")
