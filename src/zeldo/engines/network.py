"""A network as an engine: the linear displacement goes in, the evolved one comes out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import ClassVar

from zeldo.engines.registry import Progress, check_redshifts, register
from zeldo.errors import InputError
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.lpt import linear_displacement
from zeldo.snapshot.snapshot import Snapshot


@register
@dataclass(frozen=True)
class Network:
    """The V-Net of de Oliveira et al. 2020 (arXiv:2012.00240), or any network that `zeldo.networks.load` reads.

    weights: a file; None is the shipped V-Net. extrapolate: allow a lattice spacing, redshift or cosmology outside the
    model card's range; it is recorded in the snapshot. tiles: pieces per side, None as memory allows. device: of torch.
    """

    name: ClassVar[str] = "vnet"
    weights: str | None = None
    extrapolate: bool = False
    tiles: int | None = None
    device: str = "cpu"

    def run(
        self, ics: InitialConditions, redshifts: Sequence[float], progress: Progress | None = None
    ) -> Iterator[Snapshot]:
        from zeldo.networks.field import predict
        from zeldo.networks.weights import load

        redshifts = check_redshifts(redshifts)
        path = Path(self.weights) if self.weights else shipped_weights()
        net = load(path)
        psi_lin = linear_displacement(ics)
        for count, z in enumerate(redshifts):
            made = predict(
                net,
                psi_lin,
                ics.cosmology,
                z,
                spacing=ics.spacing,
                extrapolate=self.extrapolate,
                tiles=self.tiles,
                device=self.device,
                progress=_part(progress, count, len(redshifts), z),
            )
            if made.psi is None:
                raise InputError(
                    f"{path} predicts velocities alone: an engine needs a network of displacements"
                )
            settings = {**asdict(self), "weights": path.name}
            yield Snapshot(made.psi, made.vel, ics.box, ics.cosmology, z, self.name, ics.seed, settings)


def shipped_weights() -> Path:
    """The file of the V-Net that ships with zeldo, its model card inside and beside it."""
    path = Path(str(files("zeldo.weights") / "vnet.safetensors"))
    if not path.is_file():
        raise InputError("no V-Net ships with this version: give a file of weights, as --engine FILE")
    return path


def _part(progress: Progress | None, count: int, total: int, z: float):  # type: ignore[no-untyped-def]
    if progress is None:
        return None
    return lambda done, tiles: progress(count + done / tiles, total, f"z = {z:g}")
