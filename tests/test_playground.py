"""The playground computes what the package computes; its page works in a browser, from a file, with no network."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from src.structure import Partition, patch_association
from src.synthetic.baselines import linear_rule_error
from src.synthetic.distribution import SpatialDistribution, random_feature
from src.synthetic.gradient import loss_and_gradient
from src.synthetic.idealized import IdealizedModel, count_patterns
from src.synthetic.model import PositionalAttentionModel
from src.synthetic.realistic import gradient_descent
from tests.browser import CHROMIUM, Page

BOOK = Path(__file__).parents[1] / "book"
SOURCES = BOOK / "_static" / "playground"
TOLERANCE = 1e-5  # of the largest entry, in float32
LETTERS = "ABCD"

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


def in_node(body: str, **given: object) -> dict:
    """What the JavaScript `body` returns; it sees the library as `Descent` and the arguments as `given`."""
    script = f"""
        const Descent = require({json.dumps(str(SOURCES / "descent.js"))});
        const given = JSON.parse(require("fs").readFileSync(0, "utf8"));
        const plain = (key, value) => ArrayBuffer.isView(value) ? Array.from(value) : value;
        console.log(JSON.stringify((() => {{ {body} }})(), plain));
    """
    arrays = {name: value.tolist() if isinstance(value, Tensor) else value for name, value in given.items()}
    done = subprocess.run(["node", "-e", script], input=json.dumps(arrays), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_near(found: object, expected: Tensor, tolerance: float = TOLERANCE) -> None:
    found = torch.tensor(found, dtype=torch.float64).reshape(expected.shape)
    error = (found - expected.detach().double()).abs().max() / expected.detach().abs().max()
    assert error < tolerance, f"{error:.2g} of the largest entry"


# ---- The mathematics, from the same arrays.

MODEL_FROM_ARRAYS = """
    const model = {
      ...given.sizes,
      attentionLogits: Float64Array.from(given.logits.flat()), valueVector: Float64Array.from(given.value),
    };
    const sample = { patches: Float32Array.from(given.patches.flat(2)), label: Float32Array.from(given.label) };
"""


def task(degree: int, diagonal: float, dtype: torch.dtype = torch.float32) -> tuple:
    """A model with random parameters and a sample, the same float32 numbers in either dtype."""
    generator = torch.Generator().manual_seed(0)
    partition = Partition.random(12, 3, generator=generator)
    distribution = SpatialDistribution(partition, random_feature(8, generator=generator), 0.5)
    sample = distribution.sample(200, generator=generator)
    options = {"degree": degree, "diagonal": diagonal, "init_scale": 0.05, "generator": generator}
    model = PositionalAttentionModel(12, 8, **options).to(dtype)
    return model, sample.patches.to(dtype), sample.label.to(dtype)


def arrays_of(model: PositionalAttentionModel, patches: Tensor, label: Tensor) -> dict:
    sizes = {"D": 12, "d": 8, "p": model.degree, "nu": model.linear_coefficient, "diagonal": model.diagonal}
    logits, value = model.attention_logits.detach(), model.value_vector.detach()
    return {"sizes": sizes, "logits": logits, "value": value, "patches": patches, "label": label}


@needs_node
@pytest.mark.parametrize("degree, diagonal", [(3, 1.0), (3, 0.0), (5, 1.53)])
def test_one_gradient_is_the_package_s(degree, diagonal):
    given = task(degree, diagonal)
    loss, accuracy, grad_value, grad_attention = loss_and_gradient(*given)
    found = in_node(MODEL_FROM_ARRAYS + "return Descent.lossAndGradient(model, sample);", **arrays_of(*given))
    assert_near(found["loss"], loss)
    assert_near(found["accuracy"], accuracy)
    assert_near(found["gradValue"], grad_value)
    assert_near(found["gradAttention"], grad_attention)


@needs_node
@pytest.mark.parametrize("steps", [1, 100])
@pytest.mark.parametrize(
    "dtype, lr_attention, tolerance", [(torch.float32, 5.0, TOLERANCE), (torch.float64, 20.0, 1e-10)]
)
def test_steps_lead_where_the_package_s_lead(steps, dtype, lr_attention, tolerance):
    """The larger step of A in float64: there the package's own float32 differs from its float64 by more than 1e-5."""
    model, patches, label = task(3, 1.0, dtype)
    given = arrays_of(model, patches, label)
    rates = {"lr_value": 0.003, "lr_attention": lr_attention}
    found = in_node(
        MODEL_FROM_ARRAYS
        + """
        for (let step = 0; step < given.steps; step++) {
          Descent.update(model, Descent.lossAndGradient(model, sample), given.rates);
        }
        return { ...model, loss: Descent.lossAndGradient(model, sample).loss };
        """,
        steps=steps,
        rates=rates,
        **given,
    )
    before = model.attention_logits.detach().clone()
    trajectory = gradient_descent(model, patches, label, steps=steps, record_every=steps, **rates)
    moved = (model.attention_logits - before).abs().max()
    assert moved > (1 if steps == 100 else 1e-3)  # far enough to be a test
    assert_near(found["attentionLogits"], model.attention_logits, tolerance)
    assert_near(found["valueVector"], model.value_vector, tolerance)
    assert_near(found["loss"], trajectory.loss[-1], tolerance)


@needs_node
def test_the_idealized_gradient_is_the_package_s():
    generator = torch.Generator().manual_seed(1)
    partition, feature = Partition.random(12, 3, generator=generator), torch.ones(1)
    sample = SpatialDistribution(partition, feature, 0.5).sample(300, generator=generator)
    state = torch.tensor([0.1, 0.8, -0.4], dtype=torch.float64)
    model = IdealizedModel(12, 3, degree=5, linear_coefficient=0.03, diagonal=0.5)
    loss, accuracy, slopes = model.loss_and_gradient(count_patterns(sample, partition, feature), state)
    found = in_node(
        """
        const sample = { coefficients: given.coefficients.flat(2), label: given.label };
        return Descent.idealizedGradient(given.sizes, given.state, sample, given.membership);
        """,
        sizes={"D": 12, "C": 3, "p": 5, "nu": 0.03, "diagonal": 0.5},
        state=state,
        coefficients=sample.patches,
        label=sample.label,
        membership=partition.membership,
    )
    assert_near(found["loss"], loss, 1e-10)
    assert_near(found["accuracy"], accuracy, 1e-10)
    assert_near(found["slopes"], slopes, 1e-10)


@needs_node
def test_association_and_the_linear_rule_s_error_are_the_package_s():
    generator = torch.Generator().manual_seed(2)
    partition = Partition.random(16, 4, generator=generator)
    logits = torch.randn(16, 16, generator=generator)
    found = in_node(
        """
        const logits = Float64Array.from(given.logits.flat()), membership = Uint8Array.from(given.membership);
        const association = Descent.patchAssociation(logits, membership, 4);
        return { association, error: given.regimes.map((regime) => Descent.linearRuleError(...regime)) };
        """,
        logits=logits,
        membership=partition.membership,
        regimes=(regimes := [(10, 2, 0.23), (16, 4, 0.6), (32, 4, 0.4), (8, 8, 1.0)]),
    )
    assert_near(found["association"], patch_association(logits, partition).mean())
    assert_near(found["error"], torch.tensor([linear_rule_error(*regime) for regime in regimes]), 1e-6)


@needs_node
def test_blocks_are_the_package_s_and_random_sets_have_their_size():
    found = in_node(
        """
        const of = (D, C, partition) => Descent.makePartition({ D, C, partition, seed: 3 });
        return { square: of(64, 4, "blocks"), random: of(64, 4, "random"), pairs: of(10, 2, "blocks") };
        """
    )
    assert found["square"] == Partition.blocks(8, 8, 2).membership.tolist()
    assert torch.tensor(found["random"]).bincount().tolist() == [4] * 16
    assert found["random"] != sorted(found["random"])
    assert torch.tensor(found["pairs"]).bincount().tolist() == [2] * 5


@needs_node
def test_the_samples_are_those_of_the_distribution():
    num_samples, num_patches, set_size, dim, q = 4000, 16, 4, 6, 0.3
    found = in_node(
        """
        const random = Descent.generator(0, "test"), membership = Descent.makePartition(given);
        const feature = Descent.randomFeature(given.d, random);
        const sample = Descent.drawSample(given.N, { membership, C: given.C, q: given.q, feature }, random);
        return { ...sample, feature, membership };
        """,
        **{
            "N": num_samples,
            "D": num_patches,
            "C": set_size,
            "d": dim,
            "q": q,
            "partition": "random",
            "seed": 0,
        },
    )
    membership = torch.tensor(found["membership"])
    partition = Partition(torch.stack([(membership == k).nonzero()[:, 0] for k in range(4)]))
    feature = torch.tensor(found["feature"])
    patches, label = (
        torch.tensor(found["patches"]).view(num_samples, num_patches, dim),
        torch.tensor(found["label"]).double(),
    )
    coefficient = patches @ feature
    assert (coefficient - coefficient.round()).abs().max() < 1e-5  # the noise is orthogonal to the feature
    full = (coefficient.round() == label[:, None])[:, partition.sets].all(-1)
    assert full.any(-1).all()
    rule = SpatialDistribution(partition, feature, q).labelling_function(patches)
    assert (rule == label).float().mean() > 1 - 3 * (q / 2) ** 4 - 0.002
    one = full.sum(-1) == 1  # here the other patches are known; conditioning changes little at this q
    elsewhere = coefficient[one].round()[~full[one][:, membership]]
    assert abs((elsewhere == 1).float().mean() - q / 2) < 0.01
    assert abs((elsewhere == -1).float().mean() - q / 2) < 0.01
    noise = patches - coefficient[:, :, None] * feature
    assert noise.square().sum(-1).mean().item() == pytest.approx((dim - 1) / dim, rel=0.01)
    assert abs(label.mean()) < 0.06


RUN = """
    const descent = Descent.start(Descent.checkSettings(given.settings));
    while (descent.step < given.steps) descent.advance();
    return descent.state();
"""


@needs_node
@pytest.mark.parametrize("flags", [{}, {"fresh": 1}, {"idealized": 1}])
def test_a_link_is_one_run(flags):
    settings = {"N": 200, "steps": 20, "partition": "random", **flags}
    first, again, other = (in_node(RUN, settings=settings | {"seed": k}, steps=20) for k in (5, 5, 6))
    assert first == again
    assert first != other


@needs_node
@pytest.mark.parametrize(
    "settings, message",
    [
        ({"q": "1.2"}, "q = 1.2: a number in [0, 1] is needed; the nearest: 1"),
        ({"q": ""}, "q = : a number in [0, 1] is needed; the nearest: 0.6"),
        ({"C": "3"}, "C = 3 does not divide D = 16; the nearest that does: 2"),
        ({"p": "4"}, "p = 4: an odd integer >= 3 is needed; the nearest: 5"),
        ({"N": "2.5"}, "N = 2.5: an integer in [1, 100000] is needed; the nearest: 3"),
        ({"N": "90000"}, "N = 90000: N D d <= 20000000 is needed in a page; the nearest: 78125"),
        ({"partition": "rows"}, "partition = rows: one of random, blocks, drawn is needed"),
        (
            {"D": 4, "C": 2, "partition": "drawn", "sets": "ABBB"},
            "sets = ABBB: 4 letters are needed, 2 times each of AB",
        ),
        ({"Q": "0.3"}, "Q is no setting: one of D, C, d, q, N"),
    ],
)
def test_a_bad_value_is_refused_in_one_line(settings, message):
    refused = "try { Descent.checkSettings(given.settings); } catch (error) { return error.message; }"
    found = in_node(refused, settings=settings)
    assert found.startswith(message) and "\n" not in found


def test_the_sources_are_small_and_name_no_address():
    texts = [path.read_text() for path in sorted(SOURCES.iterdir())]
    assert len(texts) == 4
    assert sum(len(text.encode()) for text in texts) < 40_000
    assert not re.search(r"https?:|//www|import\(|fetch\(|XMLHttp|WebSocket", "".join(texts))


# ---- The page, in a browser.


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    """A bare page with what book/playground.md shows, as a file."""
    (shown,) = re.findall(r"```\{raw\} html\n(.*?)```", (BOOK / "playground.md").read_text(), re.DOTALL)
    file = tmp_path_factory.mktemp("page") / "playground.html"
    head = '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    file.write_text(head + shown.replace("../_static", (BOOK / "_static").as_uri()))
    return file.as_uri()


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Iterator[Page]:
    with Page(tmp_path_factory.mktemp("profile")) as page:
        yield page
        assert page.errors == []
        assert {address.split(":")[0] for address in page.requests} <= {"file", "blob", "about"}


def show(page: Page, address: str) -> None:
    page.open("about:blank")  # a new hash alone would not load the page anew
    page.open(address)
    page.wait_for("document.querySelector('.playground').dataset.state === 'stopped'")


def run(page: Page, steps: int) -> dict[str, str]:
    """Press Run and return the numbers shown once `steps` steps are done."""
    page.evaluate("document.querySelector('.pg-run').click()")
    page.wait_for(
        f"{number('step')} === '{steps}' && document.querySelector('.pg-run').textContent === 'Run'"
    )
    return page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('[data-number]')]"
        ".map(e => [e.dataset.number, e.textContent]))"
    )


def number(name: str) -> str:
    return f"document.querySelector('[data-number={name}]').textContent"


SETTINGS = {"q": 0.5, "N": 300, "steps": 40, "seed": 7, "partition": "random"}
LINK = "#" + "&".join(f"{key}={value}" for key, value in SETTINGS.items())


def assert_same_run(shown: dict[str, str]) -> None:
    """The page's numbers, four digits of each, are those of the library in node."""
    expected = in_node(RUN, settings=SETTINGS, steps=40)
    for name in (
        "loss",
        "accuracy",
        "test",
        "association",
        "alignment",
        "alpha",
        "gamma",
        "rho",
        "own",
        "other",
    ):
        assert float(shown[name]) == pytest.approx(expected[name], rel=1e-3, abs=1e-9), name
    assert float(shown["linear"]) == pytest.approx(1 - linear_rule_error(16, 4, 0.5), rel=1e-3)


@needs_node
@needs_browser
def test_a_link_runs_in_a_worker_and_shows_the_library_s_numbers(page, address):
    show(page, address + LINK)
    assert_same_run(run(page, 40))
    assert any(each.startswith("blob:") for each in page.requests)  # the worker's source
    assert page.evaluate("document.querySelectorAll('polyline').length") == 4
    assert run(page, 80)["step"] == "80"  # and goes on


@needs_node
@needs_browser
def test_without_a_worker_the_page_computes_itself(tmp_path, address):
    refuse = "window.Worker = function () { throw new Error('refused'); }"
    with Page(tmp_path, first=refuse) as page:
        show(page, address + LINK)
        assert_same_run(run(page, 40))
        assert page.errors == []


@needs_browser
def test_every_start_on_the_page_is_a_link_that_holds(page, address):
    show(page, address)
    for k in range(page.evaluate("document.querySelectorAll('.playground-starts a').length")):
        page.evaluate(f"document.querySelectorAll('.playground-starts a')[{k}].click()")
        wanted = page.evaluate(f"document.querySelectorAll('.playground-starts a')[{k}].hash.slice(1)")
        page.wait_for(
            "location.hash.includes('seed=0') && document.querySelector('.pg-run').textContent === 'Run'"
        )
        assert page.evaluate("document.querySelector('.pg-error').textContent") == ""
        for key, value in (pair.split("=") for pair in wanted.split("&")):
            shown = page.evaluate(f"document.querySelector('[name=pg-{key}]').value")
            assert shown == value or float(shown) == float(value)
    assert k == 3


@needs_browser
def test_a_bad_link_and_a_bad_field_are_refused_and_the_page_stays(page, address):
    message = "document.querySelector('.pg-error').textContent"
    show(page, address + "#q=1.2&N=100")
    assert page.evaluate(message) == "q = 1.2: a number in [0, 1] is needed; the nearest: 1"
    assert page.evaluate("document.querySelector('[name=pg-q]').value") == "0.6"
    typed = "(f => { f.value = %s; f.dispatchEvent(new Event('change', { bubbles: true })); })"
    page.evaluate(typed % "'3'" + "(document.querySelector('[name=pg-C]'))")
    assert page.evaluate(message) == "C = 3 does not divide D = 16; the nearest that does: 2"
    assert page.evaluate("document.querySelector('[name=pg-C]').getAttribute('aria-invalid')") == "true"
    page.evaluate(typed % "'8'" + "(document.querySelector('[name=pg-C]'))")
    assert page.evaluate(message) == ""
    assert "C=8" in page.evaluate("location.hash")


# The grid numbers the sets from 1; a link names them by letters.
SETS = (
    "[...document.querySelectorAll('.pg-grid button')]"
    ".map(e => String.fromCharCode(64 + Number(e.textContent))).join('')"
)


@needs_browser
@pytest.mark.parametrize("way", ["drag", "swipe"])
def test_a_set_is_drawn_with_the_mouse_or_a_finger(page, address, way):
    show(page, address + "#partition=blocks&steps=10")
    assert page.evaluate(SETS) == "AABBAABBCCDDCCDD"
    page.evaluate("document.querySelector('.pg-grid').scrollIntoView()")
    centres = page.evaluate(
        "[...document.querySelectorAll('.pg-grid button')].map(e => e.getBoundingClientRect())"
        ".map(r => [r.x + r.width / 2, r.y + r.height / 2])"
    )
    getattr(page, way)([centres[k] for k in (0, 5, 10, 15)])
    drawn = page.evaluate(SETS)
    assert [drawn[k] for k in (0, 5, 10, 15)] == ["A"] * 4
    assert all(drawn.count(letter) == 4 for letter in LETTERS)
    page.wait_for("location.hash.includes('partition=drawn')")
    assert f"sets={drawn}" in page.evaluate("location.hash")


@needs_browser
def test_a_set_is_drawn_with_the_keys(page, address):
    show(page, address + "#partition=blocks&steps=10")
    page.evaluate("document.querySelector('.pg-grid button').focus()")
    for key in (" ", "ArrowRight", "ArrowRight", "ArrowRight", " "):
        page.key(key)
    drawn = page.evaluate(SETS)
    assert drawn.startswith("AAAA") and all(drawn.count(letter) == 4 for letter in LETTERS)
    assert f"sets={drawn}" in page.evaluate("location.hash")


@needs_browser
@pytest.mark.parametrize("width", [420, 1280])
def test_the_page_does_not_scroll_sideways(page, address, width):
    page.resize(width)
    show(page, address)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@needs_browser
def test_reduced_motion_draws_once_a_second(page, address):
    page.prefer(prefers_reduced_motion="reduce")
    show(page, address + "#N=3000&steps=150")
    page.evaluate(
        "window.draws = 0; window.began = performance.now();"
        "new MutationObserver(() => window.draws++).observe(document.querySelector('[data-number=step]'),"
        " { childList: true });"
    )
    run(page, 150)
    page.prefer(prefers_reduced_motion="no-preference")
    assert page.evaluate("window.draws <= 2 + (performance.now() - window.began) / 1000")


@needs_browser
def test_the_small_form_shows_its_fields_and_links_to_the_page(page, tmp_path):
    small = (
        '<!doctype html><meta charset="utf-8"><div class="playground" data-fields="q diagonal"'
        ' data-settings="D=8&amp;C=2&amp;N=100&amp;steps=10" data-page="playground.html"></div>'
    )
    scripts = "".join(
        f'<script src="{(SOURCES / name).as_uri()}"></script>'
        for name in ("descent.js", "worker.js", "playground.js")
    )
    file = tmp_path / "small.html"
    file.write_text(f'<link rel="stylesheet" href="{(SOURCES / "playground.css").as_uri()}">{small}{scripts}')
    show(page, file.as_uri())
    shown = "[...document.querySelectorAll('input[name]')].filter(e => e.checkVisibility()).map(e => e.name)"
    assert page.evaluate(shown) == ["pg-q", "pg-diagonal", "pg-fresh", "pg-idealized"]
    assert run(page, 10)["step"] == "10"
    link = page.evaluate("document.querySelector('.pg-link').href")
    assert "playground.html#D=8&C=2" in link
    assert page.evaluate("location.hash") == ""
