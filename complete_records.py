"""Once: give every record of results/ all parameters of its experiment, with the values that they had then; schema 2.

Records of images that lack a parameter were made before it could be set (results/README.md): encodings were added to
the tokens, models were measured on the test images, and the rest was as the defaults are now.
"""

import json

from src.evidence.records import RESULTS
from src.experiments.table import EXPERIMENTS

THEN = {"add_encoding": True, "eval_split": "test"}

for file in sorted(RESULTS.rglob("record.json")):
    content = json.loads(file.read_text())
    fields = EXPERIMENTS[content["claim"]].settings.model_fields
    defaults = {name: field.default for name, field in fields.items()} | THEN
    known = content["parameters"]
    added = {name: defaults[name] for name in fields if name not in known}
    if added:
        print(file.parent.relative_to(RESULTS), added)
    content["parameters"] = known | added
    EXPERIMENTS[content["claim"]].settings(**content["parameters"])  # a value of today's range
    content["schema"] = 2
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
