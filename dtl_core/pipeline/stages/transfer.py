"""Stage ``transfer``: autoencoders fine-tuned on observed spectra, and the latents of all spectra."""

from __future__ import annotations

from ...files import save_arrays
from ...networks.autoencoder import load_autoencoders
from .shared import (
    architecture_settings,
    device_settings,
    encode,
    flux_of,
    histories_of,
)

__all__ = ["transfer_autoencoders"]


def transfer_autoencoders(store, config, keys, pretrained, members, progress=None):
    """Fine-tune autoencoders of one width as one stack, and encode all spectra.

    Synthetic spectra are encoded before fine-tuning, observed ones before and after.

    Parameters
    ----------
    store : Store
    config : Config
    keys : dict
        Keys of the stages ``synthetic`` and ``observed``.
    pretrained : list of str
        Key of the stage ``autoencoder`` for each member.
    members : list of Member
    progress : callable, optional
        Called once per epoch.

    Returns
    -------
    list of str
        Key of the stage ``transfer`` for each member.
    """
    import torch

    from ...networks.fine_tuning import fine_tune, reconstruction_error
    from ...networks.stacks import take
    from ...networks.training import Checkpoint, choose_device, split

    def compute(missing, folders, checkpoint):
        device = choose_device(config.device)
        flux, stars = (flux_of(store, name, keys[name], device) for name in ("synthetic", "observed"))
        chosen = [members[k] for k in missing]
        places = [store.path("autoencoder", pretrained[k]) for k in missing]
        model = load_autoencoders(config, places, chosen[0].width, device)
        train, test = split(len(stars), config.transfer.test_fraction, [config.seed, 4])
        tuned, history = fine_tune(
            model,
            stars,
            train,
            test,
            config,
            l1=torch.tensor([m.l1 for m in chosen], device=device),
            seeds=[m.seed for m in chosen],
            progress=progress,
            checkpoint=Checkpoint(checkpoint),
        )
        errors = {"before": reconstruction_error(model, stars[test]), "after": reconstruction_error(tuned, stars[test])}
        latents = {
            "synthetic": encode(model, flux),
            "direct": encode(model, stars),
            "transfer": encode(tuned, stars),
        }
        for number, folder in enumerate(folders):
            save_arrays(folder / "weights.safetensors", take(tuned, [number]))
            own = histories_of(history, [number]) | {name: error[[number]] for name, error in errors.items()}
            save_arrays(folder / "history.safetensors", own | {"test_rows": test})
            save_arrays(folder / "latents.safetensors", {name: z[number] for name, z in latents.items()})
        return history["seconds"]

    loss = {k: architecture_settings(config)[k] for k in ("contractive", "contractive_weight")}
    common = {"transfer": config.transfer, "seed": config.seed, "loss": loss} | device_settings(config)
    items = [
        (
            common | {"l1": member.l1, "member": member.seed},
            {"autoencoder": key, "observed": keys["observed"], "synthetic": keys["synthetic"]},
        )
        for member, key in zip(members, pretrained, strict=True)
    ]
    return [key for _, key in store.stages("transfer", items, compute)]
