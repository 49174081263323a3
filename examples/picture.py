"""The picture of README: one slab of the shipped N-body reference and of each engine, on one colour scale.

python examples/picture.py docs/images/slices.png
"""

import sys

import zeldo
from zeldo.report.slices import slice_figure

ics, references = zeldo.read_reference(zeldo.reference_path("small"))
engines = ["zeldovich", "cola", "pm", "emulator", "p3m"]
snapshots = [references[0.0], *(zeldo.run(ics=ics, engine=name)[0] for name in engines)]
figure = slice_figure(snapshots, ["MP-Gadget", *engines])
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "slices.png", dpi=80, bbox_inches="tight")
