"""From the unpacked files of CIFAR-10 to the end of the first training step; reading their bytes once is the floor.

The folder is `data`, or the one that SPATIAL_DATA names.
"""

import sys

from harness import Promise, arguments, compare, finish
from vision_steps import SHAPE

from src.vision.augment import Augmentation
from src.vision.images import data_folder, load_images
from src.vision.settings import TrainingSettings
from src.vision.steps import Step, execution
from src.vision.training import start_fabric
from src.vision.vit import VisionTransformer

BATCH = 128
PROMISE = Promise(
    "loading",
    f"CIFAR-10 from unpacked files to the end of the first training step (batch {BATCH}) in at most 10 s",
    at_most_seconds=10.0,
)


def main() -> None:
    chosen = arguments(__doc__)
    folder = data_folder() / "cifar-10-batches-py"
    if not folder.is_dir():
        print(f"{folder} is not there: unpack CIFAR-10 into that folder, or name another one by SPATIAL_DATA")
        sys.exit(2)
    settings = TrainingSettings(accelerator=chosen.device.type, batch_size=BATCH, progress=False)
    loss = first_step(settings)
    if not 1 < loss < 10:
        raise SystemExit(f"the first loss is {loss:.2f}; about 2.3, ten classes by chance, is expected")
    calls = {
        "raw bytes, read once": lambda: [file.read_bytes() for file in sorted(folder.glob("*_batch*"))],
        "files to first step": lambda: first_step(settings),
    }
    rows = compare(calls, repeats=min(chosen.repeats, 3), device=chosen.device)
    agreement = f"checked: the first loss is {loss:.2f}, near chance"
    finish(PROMISE, rows, chosen, reference=rows[0].name, contender=rows[1].name, agreement=agreement)


def first_step(settings: TrainingSettings) -> float:
    train, fabric = load_images("cifar10"), start_fabric(settings)
    train = train.to(fabric.device)
    model = VisionTransformer(**SHAPE).to(fabric.device)
    how = execution(settings.compile, fabric.device, 1, 1)
    step = Step([model], train, settings, fabric, how)
    draws = Augmentation().draw((BATCH,), generator=None)
    draws = {name: values.to(fabric.device) for name, values in draws.items()}
    return step(train.images[:BATCH], train.labels[:BATCH], draws, settings.learning_rate).item()


if __name__ == "__main__":
    main()
