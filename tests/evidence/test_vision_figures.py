import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from src.evidence.figures import PALETTE, vision
from src.evidence.records import Record
from tests.records import record

GRID = (2, 3)
MODELS, SEEDS, EPOCHS, DEPTH, HEADS, PATCHES = 2, 3, 4, 2, 3, 6


def planted(seeds=SEEDS) -> Record:
    draw = np.random.default_rng(0)
    attention = draw.dirichlet(np.ones(PATCHES + 1), size=(2, DEPTH, HEADS, PATCHES + 1))
    curve = (MODELS, seeds, EPOCHS)
    return record(
        arrays={
            **{f"similarity_{s}": draw.uniform(-1, 1, (2, 6, 6)) for s in ("before", "during", "after")},
            "grid": np.array(GRID),
            "loss_by_epoch": draw.uniform(1, 2, curve),
            "accuracy_by_epoch": draw.uniform(size=curve),
            "locality_by_epoch": draw.uniform(size=(MODELS, seeds, EPOCHS + 1)),
            "attention_content": attention[0],
            "attention_positional": attention[1],
            "distance_by_head": draw.uniform(1, 2, (MODELS, DEPTH, HEADS)),
            "images": draw.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8),
            "labels": np.arange(12),
        },
        metrics={
            f"accuracy_{model}{kind}": draw.uniform(size=seeds).tolist()
            for model in ("content", "positional", "convnet")
            for kind in ("", "_permuted")
        },
    )


FIGURES = {
    vision.example_images: "images",
    vision.training_curves: "locality_by_epoch",
    vision.similarity_grid: "similarity_after",
    vision.similarity_thresholded: "similarity_after",
    vision.attention_maps: "attention_positional",
    vision.attention_distance: "distance_by_head",
    vision.hard_reads: "attention_positional",
    vision.accuracy_by_model: "accuracy_convnet",
    vision.permutation_effect: "accuracy_convnet_permuted",
}


@pytest.mark.parametrize("figure_of", FIGURES, ids=lambda f: f.__name__)
class TestEveryFigure:
    def test_is_drawn_with_named_axes_on_a_transparent_page(self, figure_of):
        figure = figure_of(planted())
        assert isinstance(figure, Figure)
        assert figure.get_facecolor()[3] == 0
        for ax in figure.axes:
            if not ax.axison:
                assert ax.get_title()
            elif ax.get_label() != "<colorbar>":
                assert ax.get_xlabel() and ax.get_ylabel()
        figure.canvas.draw()

    def test_leaves_the_record_and_pyplot_as_they_were(self, figure_of):
        used, fresh, style = planted(), planted(), dict(plt.rcParams)
        figure_of(used)
        assert all(np.array_equal(used.arrays[name], array) for name, array in fresh.arrays.items())
        assert used.metrics == fresh.metrics
        assert plt.get_fignums() == [] and dict(plt.rcParams) == style

    def test_one_seed_is_enough(self, figure_of):
        assert isinstance(figure_of(planted(seeds=1)), Figure)

    def test_says_what_is_missing(self, figure_of):
        empty = record({"loss": [1.0]}, parameters={}, arrays={"other": np.zeros(1)})
        with pytest.raises(ValueError, match="the record has no") as error:
            figure_of(empty)
        assert "it has other" in str(error.value) or "it has loss" in str(error.value)


def cells(ax):
    """The numbers of a picture, gaps as nan."""
    return np.ma.filled(ax.images[0].get_array().astype(float), np.nan)


def test_example_images_are_the_images_with_their_labels():
    run = planted()
    axes = vision.example_images(run).axes
    assert [ax.get_title() for ax in axes] == [str(label) for label in range(12)]
    assert all(np.array_equal(ax.images[0].get_array(), run.arrays["images"][i]) for i, ax in enumerate(axes))


def test_long_names_of_classes_do_not_run_into_each_other():
    run = planted()
    names = [
        "great white shark, white shark, man-eater, man-eating shark",
        "jack-o'-lantern",
        "n01443537",
    ] * 4
    run.arrays["labels"] = np.array(names)
    figure = vision.example_images(run)
    figure.canvas.draw()
    titles = [ax.title for ax in figure.axes]
    assert [title.get_text() for title in titles[:3]] == [
        "great white\nshark, white\nshark, …",
        "jack-o'-\nlantern",
        "n01443537",
    ]
    boxes = [title.get_window_extent() for title in titles]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_training_curves_are_the_mean_over_seeds():
    run = planted()
    for ax, name in zip(vision.training_curves(run).axes, ("loss", "accuracy", "locality"), strict=True):
        values = run.arrays[f"{name}_by_epoch"]
        for line, by_seed, model in zip(ax.lines[:2], values, vision.MODELS, strict=True):
            np.testing.assert_array_equal(line.get_ydata(), by_seed.mean(axis=0))
            np.testing.assert_array_equal(line.get_xdata(), range(0 if name == "locality" else 1, EPOCHS + 1))
            assert line.get_color() == PALETTE[model]
        assert len(ax.collections) == 2  # the bands
    assert [len(ax.collections) for ax in vision.training_curves(planted(seeds=1)).axes] == [0, 0, 0]


def test_arrows_go_from_a_patch_to_the_place_that_has_nearly_all_of_its_attention():
    run = planted()
    attention = np.full((DEPTH, HEADS, PATCHES + 1, PATCHES + 1), 1 / (PATCHES + 1))
    for patch, place in ((0, 5), (2, 2), (4, 0)):  # of layer 2, head 3; all else is uniform
        attention[1, 2, patch + 1] = np.eye(PATCHES + 1)[place + 1]
    attention[1, 0, 3 + 1] = 0.95 * np.eye(PATCHES + 1)[1] + 0.05 / (PATCHES + 1)  # fewer: not drawn
    attention[1, 2, 1 + 1] = np.eye(PATCHES + 1)[0]  # the CLS token is no place
    run.arrays["attention_positional"] = attention
    first, second = vision.hard_reads(run).axes
    assert (first.get_title(), second.get_title()) == ("layer 1: 0 of 6", "layer 2: 3 of 6")
    assert first.collections[0].N == 0
    arrows = second.collections[0]
    np.testing.assert_array_equal(arrows.XY, [[0, 0], [2, 0], [1, 1]])  # columns, rows of patches 0, 2, 4
    np.testing.assert_array_equal(arrows.U, [2, 0, -1])
    np.testing.assert_array_equal(arrows.V, [1, 0, -1])
    np.testing.assert_array_equal(second.lines[1].get_xydata(), [[2, 0]])  # the ring
    low, high = second.get_ylim()
    assert low > high  # row 0 on top


def test_similarity_of_each_patch_stands_at_its_place():
    run = planted()
    figure = vision.similarity_grid(run)
    assert figure.axes[3].get_title() == "positional, after training"
    picture, similarity = cells(figure.axes[3]), run.arrays["similarity_after"][1]
    for patch in range(PATCHES):
        top, left = 3 * (patch // 3), 4 * (patch % 3)  # tiles of 2 x 3 cells with gaps of one
        tile = picture[top : top + 2, left : left + 3]
        np.testing.assert_array_equal(tile, similarity[patch].reshape(GRID))
    assert np.isnan(picture[2]).all() and np.isnan(picture[:, 3]).all()
    assert figure.axes[3].images[0].get_clim() == (-1, 1)


def test_permuted_similarities_are_those_of_the_permuted_models():
    run = planted()
    for stage in ("before", "during", "after"):
        run.arrays[f"similarity_{stage}_permuted"] = -run.arrays[f"similarity_{stage}"]
    plain, permuted = (cells(vision.similarity_grid(run, permuted=each).axes[3]) for each in (False, True))
    np.testing.assert_array_equal(permuted, -plain)


def test_threshold():
    run = planted()
    run.arrays["similarity_after"][0, 0] = [0.54, 0.55, 0.56, -1, 1, 0]
    tile = cells(vision.similarity_thresholded(run).axes[1])[:2, :3]
    np.testing.assert_array_equal(tile, [[0, 1, 1], [0, 1, 0]])
    lower = cells(vision.similarity_thresholded(run, threshold=0.545).axes[1])[:2, :3]
    np.testing.assert_array_equal(lower, tile)
    np.testing.assert_array_equal(
        cells(vision.similarity_thresholded(run, threshold=-1.0).axes[1])[:2, :3], np.ones(GRID)
    )


def test_similarity_of_one_model_alone():
    run = planted()
    for stage in ("before", "during", "after"):
        run.arrays[f"similarity_{stage}"] = run.arrays[f"similarity_{stage}"][:1]
    titles = [ax.get_title() for ax in vision.similarity_grid(run).axes[:2]]
    assert titles == ["content, before training", "content, after training"]


def test_attention_is_drawn_relative_to_uniform():
    run = planted()
    picture = cells(vision.attention_maps(run).axes[1])
    np.testing.assert_allclose(picture[8:15, 16:23], run.arrays["attention_positional"][1, 2] * 7)


def test_uniform_attention_distance_is_of_the_grid():
    ax = vision.attention_distance(planted()).axes[0]
    (uniform,) = [line for line in ax.lines if line.get_label() == "uniform"]
    pairs = [np.hypot(a - c, b - d) for a in (0, 1) for b in range(3) for c in (0, 1) for d in range(3)]
    assert uniform.get_ydata()[0] == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize(
    ("figure_of", "kinds"),
    [(vision.accuracy_by_model, [""]), (vision.permutation_effect, ["", "_permuted"])],
)
def test_every_seed_is_a_point(figure_of, kinds):
    run = planted()
    ax = figure_of(run).axes[0]
    clouds = [cloud for cloud in ax.collections if isinstance(cloud, PathCollection)]
    drawn = sorted(y for cloud in clouds for _, y in cloud.get_offsets())
    expected = [run.metrics[f"accuracy_{m}{k}"] for m in ("content", "positional", "convnet") for k in kinds]
    np.testing.assert_allclose(drawn, sorted(np.concatenate(expected)))
    means = [text.get_text().split("\n")[0] for text in ax.texts]
    assert means == [f"{np.mean(values):.3f}" for values in expected]


def test_models_that_were_not_measured_are_left_out():
    run = planted()
    del run.metrics["accuracy_convnet_permuted"]
    labels = [text.get_text() for text in vision.permutation_effect(run).axes[0].get_xticklabels()]
    assert labels == ["content, plain", "content, permuted", "positional, plain", "positional, permuted"]
