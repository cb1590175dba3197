"""Once: complete records of images that were measured before the Mantel test was a metric, from their own arrays.

Each holds one repetition, so the similarity after training that it keeps is the one that the experiment would test.
"""

import json
import sys
from pathlib import Path

import torch

from src.common.seeding import child_generator
from src.evidence.claims import CLASSES
from src.evidence.records import SCHEMA, Record
from src.vision.probes import mantel_test
from src.vision.vit import ATTENTIONS

for file in sorted(Path(sys.argv[1]).rglob("record.json")):
    content = json.loads(file.read_text())
    parameters, metrics = content["parameters"], content["metrics"]
    if not content["claim"].startswith("positional") or "mantel_p_content" in metrics:
        continue
    if parameters["num_seeds"] != 1 or parameters["add_encoding"]:
        continue
    content |= {"schema": SCHEMA, "precision": parameters["precision"]}
    content["notes"] = {"classes": CLASSES[parameters["dataset"]]}
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    arrays = Record.load(file.parent).arrays
    grid = tuple(int(side) for side in arrays["grid"])
    for suffix in ("", "_permuted") if parameters["permute"] else ("",):
        for row, kind in enumerate(ATTENTIONS):
            name = f"{kind}{suffix}"
            generator = child_generator(parameters["seed"], "mantel", name, 0)
            similarity = torch.tensor(arrays[f"similarity_after{suffix}"][row])
            metrics[f"mantel_p_{name}"] = [mantel_test(similarity, grid, generator=generator)]
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    print(file.parent.name, {name: value for name, value in metrics.items() if "mantel" in name})
