"""The method of the paper: autoencoders, fine-tuning on observed spectra, and regressors on their latents."""
