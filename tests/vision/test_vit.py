import subprocess
import sys
from urllib.error import URLError

import pytest
import timm
import torch
from torch.nn.functional import layer_norm, linear
from torch.utils._python_dispatch import TorchDispatchMode

from src.vision.convnet import SmallConvNet
from src.vision.fast import fast_logits, mix_by_position
from src.vision.permutation import Permuted, permute_patches
from src.vision.pretrained import load_pretrained, timm_model
from src.vision.vit import VisionTransformer

ATTENTIONS = ["content", "positional"]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def small_vit(attention="content", **options):
    """A model in float64 with weights large enough that attention is far from uniform."""
    model = VisionTransformer(
        8,
        2,
        5,
        embed_dim=12,
        depth=options.pop("depth", 3),
        num_heads=2,
        mlp_dim=20,
        attention=attention,
        generator=seeded(),
        **options,
    ).double()
    noise = seeded(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=noise, dtype=torch.float64) * 0.3)
    return model


def random_images(n=4, size=8, seed=2):
    return torch.randn(n, 3, size, size, generator=seeded(seed), dtype=torch.float64)


def timm_small_images():
    return timm.models.vision_transformer.VisionTransformer(
        img_size=32, patch_size=4, num_classes=10, embed_dim=96, depth=4, num_heads=4, mlp_ratio=2
    )


class TestTimm:
    @pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "vit_small_patch32_224"])
    @torch.no_grad()
    def test_224_pixels(self, name):
        theirs, ours = timm.create_model(name).eval(), timm_model(name)
        ours.load_state_dict(theirs.state_dict(), strict=True)
        images = torch.randn(2, 3, 224, 224, generator=seeded())
        torch.testing.assert_close(ours(images), theirs(images), atol=1e-5, rtol=0)

    @pytest.mark.parametrize("spread", [0.0, 0.2], ids=["initial", "large"])
    @torch.no_grad()
    def test_32_pixels(self, spread):
        """With large random weights, biases and norms attention is far from uniform and every term counts."""
        theirs = timm_small_images().eval()
        for parameter in theirs.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=seeded()) * spread)
        ours = VisionTransformer(32, 4, 10, 96, 4, 4, 192)
        ours.load_state_dict(theirs.state_dict(), strict=True)
        images = torch.randn(3, 3, 32, 32, generator=seeded())
        torch.testing.assert_close(ours(images), theirs(images), atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize("attention", ATTENTIONS)
    def test_both_attentions_have_the_same_parameters(self, attention):
        ours = VisionTransformer(32, 4, 10, 96, 4, 4, 192, attention=attention).state_dict()
        theirs = timm_small_images().state_dict()
        assert {name: value.shape for name, value in ours.items()} == {n: v.shape for n, v in theirs.items()}


class TestAttention:
    @pytest.mark.parametrize("attention", ATTENTIONS)
    def test_asking_for_intermediates_changes_no_logit(self, attention):
        model, images = small_vit(attention), random_images()
        logits, intermediates = model(images, return_intermediates=True)
        torch.testing.assert_close(model(images), logits)
        shape = (4 if attention == "content" else 1, 2, 17, 17)
        assert [layer.shape for layer in intermediates.attention] == [shape] * 3
        assert [layer.shape for layer in intermediates.tokens] == [(4, 17, 12)] * 4
        for layer in intermediates.attention:
            torch.testing.assert_close(layer.sum(-1), torch.ones(shape[:-1], dtype=torch.float64))

    def test_positional_attention_is_the_equation(self):
        """Layer 2, head 1, written out from the state dict."""
        model = small_vit("positional")
        _, intermediates = model(random_images(), return_intermediates=True)
        state, block, rows = model.state_dict(), "blocks.2.", slice(6, 12)
        encodings = layer_norm(
            state["pos_embed"][0], (12,), state[block + "norm1.weight"], state[block + "norm1.bias"], eps=1e-6
        )
        query, key, _ = linear(
            encodings, state[block + "attn.qkv.weight"], state[block + "attn.qkv.bias"]
        ).split(12, dim=1)
        expected = torch.softmax(query[:, rows] @ key[:, rows].T / 6**0.5, dim=1)
        torch.testing.assert_close(intermediates.attention[2][0, 1], expected)
        assert expected.max() > 0.5  # far from uniform: a wrong scale would show

    def test_positional_mixing_is_the_equation(self):
        attn = small_vit("positional").blocks[0].attn
        tokens = random_images().reshape(4, 16, 12)
        attention = torch.rand(2, 16, 16, generator=seeded(3), dtype=torch.float64)
        mixed = attn.proj(mix_by_position(attn, tokens, attention))
        value = linear(tokens, attn.qkv.weight[24:], attn.qkv.bias[24:])
        heads = [
            attention[head] @ value[image, :, 6 * head : 6 * head + 6]
            for image in range(4)
            for head in (0, 1)
        ]
        expected = torch.stack([torch.cat(heads[2 * i : 2 * i + 2], dim=1) for i in range(4)])
        torch.testing.assert_close(mixed, attn.proj(expected))

    def test_positional_attention_is_the_same_for_every_image_bit_for_bit(self):
        model = small_vit("positional")
        one, other = (model(random_images(seed=s), return_intermediates=True)[1].attention for s in (2, 3))
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))

    def test_content_attention_is_not(self):
        model = small_vit("content")
        one, other = (model(random_images(seed=s), return_intermediates=True)[1].attention for s in (2, 3))
        assert all((a - b).abs().max() > 0.1 for a, b in zip(one, other, strict=True))

    @pytest.mark.parametrize(
        ("attention", "asked", "one_per_image"),
        [("content", True, True), ("content", False, False), ("positional", False, False)],
    )
    def test_one_matrix_per_image_exists_only_where_needed(self, attention, asked, one_per_image):
        """Content attention has one when asked to show it; positional attention's matrices are not copied."""

        class Largest(TorchDispatchMode):
            seen = 0

            def __torch_dispatch__(self, func, types, args=(), kwargs=None):
                out = func(*args, **(kwargs or {}))
                if isinstance(out, torch.Tensor) and 0 not in out.stride():
                    self.seen = max(self.seen, out.numel())
                return out

        model = VisionTransformer(32, 2, 5, embed_dim=8, depth=1, num_heads=4, mlp_dim=8, attention=attention)
        with Largest() as largest:
            model(torch.zeros(6, 3, 32, 32), return_intermediates=asked)
        assert (largest.seen >= 6 * 4 * 257 * 257) is one_per_image

    def test_queries_and_keys_of_positional_attention_learn_through_encodings_alone(self):
        model, images = small_vit("positional"), random_images().requires_grad_()
        attention = model(images, return_intermediates=True)[1].attention[2]
        sources = [model.pos_embed, images, model.cls_token, model.patch_embed.proj.weight]
        encodings, *others = torch.autograd.grad(attention.square().sum(), sources, allow_unused=True)
        assert encodings.abs().max() > 1e-3
        assert others == [None, None, None]

    @pytest.mark.parametrize("attention", ATTENTIONS)
    def test_equal_encodings_teach_queries_nothing(self, attention):
        """Where all encodings are equal, positional attention is uniform whatever the queries are."""
        model = small_vit(attention)
        with torch.no_grad():
            model.pos_embed.copy_(model.pos_embed[:, :1].expand_as(model.pos_embed).clone())
        model(random_images()).square().sum().backward()
        query, _, value = model.blocks[1].attn.qkv.weight.grad.abs().split(12)
        assert (query.max() > 1e-3) == (attention == "content")
        assert value.max() > 1e-3

    def test_encodings_reach_the_tokens_only_where_asked(self):
        images = random_images()
        for add in (True, False):
            model = small_vit("positional", add_encoding=add)
            before = model(images, return_intermediates=True)[1].tokens[0]
            with torch.no_grad():
                model.pos_embed.add_(1)
            after = model(images, return_intermediates=True)[1].tokens[0]
            assert torch.equal(before, after) is not add

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    @pytest.mark.parametrize("attention", ATTENTIONS)
    def test_cuda(self, attention):
        model, images = small_vit(attention), random_images()
        expected = model(images)
        torch.testing.assert_close(model.cuda()(images.cuda()).cpu(), expected)


class TestPermutation:
    def test_patches_move_whole(self):
        image = torch.tensor([[0, 0, 1, 1, 2, 2], [0, 9, 1, 9, 2, 9], [3, 3, 4, 4, 5, 5], [3, 9, 4, 9, 5, 9]])
        moved = permute_patches(image[None, None].byte(), torch.tensor([5, 0, 1, 4, 3, 2]), patch_size=2)
        assert moved.dtype == torch.uint8
        assert moved[0, 0, ::2, ::2].tolist() == [[5, 0, 1], [4, 3, 2]]
        assert (moved[0, 0, 1::2, 1::2] == 9).all()

    def test_the_inverse_restores(self):
        images, permutation = random_images(), torch.randperm(16, generator=seeded())
        permuted = permute_patches(images, permutation, 2)
        assert not torch.equal(permuted, images)
        assert torch.equal(permute_patches(permuted, permutation.argsort(), 2), images)

    @pytest.mark.parametrize("attention", ATTENTIONS)
    def test_permuting_patches_and_encodings_alike_changes_no_logit(self, attention):
        model, images = small_vit(attention), random_images()
        logits, permutation = model(images), torch.randperm(16, generator=seeded())
        permuted = permute_patches(images, permutation, 2)
        assert (model(permuted) - logits).abs().max() > 1e-2
        with torch.no_grad():
            model.pos_embed[:, 1:] = model.pos_embed[:, 1:][:, permutation]
        torch.testing.assert_close(model(permuted), logits)

    @pytest.mark.parametrize("indices", [[0, 1, 2], [0, 1, 1, 3], [0, 1, 2, 4], [-1, 1, 2, 3]])
    def test_no_permutation(self, indices):
        with pytest.raises(
            ValueError, match=r"permutation: expected each of 0..3 once, got . indices of which 3"
        ):
            permute_patches(torch.zeros(1, 3, 4, 4), torch.tensor(indices), 2)

    def test_sides_that_patches_do_not_divide(self):
        with pytest.raises(
            ValueError, match="image width = 6: a multiple of patch_size = 4 is needed; the nearest: 8"
        ):
            permute_patches(torch.zeros(1, 3, 4, 6), torch.arange(1), 4)

    def test_a_permuted_model_sees_permuted_images(self):
        model, images = small_vit(), random_images()
        permutation = torch.randperm(16, generator=seeded())
        permuted = Permuted(model, permutation, 2)
        assert torch.equal(permuted(images), model(permute_patches(images, permutation, 2)))
        assert torch.equal(Permuted(model, torch.arange(16), 2)(images), model(images))
        assert list(permuted.state_dict()) == [f"model.{name}" for name in model.state_dict()]

    def test_a_permuted_model_refuses_other_images(self):
        with pytest.raises(ValueError, match=r"permutation: expected each of 0..1 once"):
            Permuted(small_vit(), torch.tensor([1, 1]), 2)
        with pytest.raises(
            ValueError, match="images: expected 4 patches, as many as permutation has, got 16"
        ):
            Permuted(small_vit(), torch.arange(4), 2)(random_images())


class TestFast:
    @pytest.mark.parametrize("depth", [1, 3])
    @pytest.mark.parametrize(
        ("attention", "add"), [("content", False), ("positional", False), ("positional", True)]
    )
    def test_logits_and_gradients_are_those_of_the_equation(self, attention, add, depth):
        """What is left out, rows that nobody reads among it, has no part in either."""
        model, images = small_vit(attention, add_encoding=add, depth=depth), random_images()
        gradients, logits = [], [fast_logits(model, images), model.reference(images)[0]]
        torch.testing.assert_close(*logits)
        for each in logits:
            gradients.append(torch.autograd.grad(each.square().sum(), list(model.parameters())))
        for ours, theirs in zip(*gradients, strict=True):
            torch.testing.assert_close(ours, theirs)

    @pytest.mark.parametrize("attention", ATTENTIONS)
    def test_in_bfloat16_on_the_cpu_too(self, attention):
        """Both lose about the same by rounding: half a percent of the largest logit."""
        model, images = small_vit(attention).float(), random_images().float()
        exact = model.reference(images)[0]
        with torch.autocast("cpu", torch.bfloat16):
            rounded = fast_logits(model, images)
        assert (rounded.float() - exact).abs().max() < 0.02 * exact.abs().max()


class TestInitialization:
    def test_the_generator_decides_and_both_attentions_start_alike(self):
        content, again, positional, other = (
            VisionTransformer(8, 2, 5, 12, 2, 2, 20, attention=attention, generator=seeded(seed)).state_dict()
            for attention, seed in [("content", 0), ("content", 0), ("positional", 0), ("content", 1)]
        )
        for name, value in content.items():
            assert torch.equal(value, again[name]) and torch.equal(value, positional[name])
        assert not torch.equal(content["pos_embed"], other["pos_embed"])

    def test_distribution(self):
        for name, value in timm_model("vit_tiny_patch16_224", generator=seeded()).named_parameters():
            if value.ndim > 1:
                fans = sum(value.flatten(1).shape)
                std = 0.02 if name in ("pos_embed", "cls_token") else (2 / fans) ** 0.5
                assert value.std().item() == pytest.approx(std, rel=0.15 if value.numel() < 1000 else 0.05), (
                    name
                )
            else:
                assert (value == (0 if name.endswith("bias") else 1)).all(), name


SIZES = {
    "image_size": 32,
    "patch_size": 4,
    "num_classes": 10,
    "embed_dim": 96,
    "depth": 4,
    "num_heads": 4,
    "mlp_dim": 192,
}


class TestErrors:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"image_size": 33}, "image_size = 33: a multiple of patch_size = 4 is needed; the nearest: 32"),
            ({"image_size": 3}, "image_size = 3: a multiple of patch_size = 4 is needed; the nearest: 4"),
            ({"embed_dim": 98}, "embed_dim = 98: a multiple of num_heads = 4 is needed; the nearest: 96"),
            ({"depth": 0}, "depth = 0: an integer >= 1 is needed; the nearest: 1"),
            (
                {"attention": "possitional"},
                "attention = 'possitional': content, positional is needed; the nearest: positional",
            ),
        ],
    )
    def test_arguments(self, wrong, message):
        with pytest.raises(ValueError) as error:
            VisionTransformer(**{**SIZES, **wrong})
        assert str(error.value).startswith(message) and "\n" not in str(error.value)

    @pytest.mark.parametrize("shape", [(2, 3, 32, 28), (2, 1, 32, 32), (3, 32, 32)])
    def test_images_of_another_shape(self, shape):
        with pytest.raises(ValueError) as error:
            VisionTransformer(**SIZES)(torch.zeros(shape))
        assert str(error.value) == f"images: expected shape (batch, 3, 32, 32), got {shape}"

    def test_images_as_bytes(self):
        with pytest.raises(ValueError, match=r"images: expected floating point, got torch.uint8"):
            VisionTransformer(**SIZES)(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))


class TestPretrained:
    @torch.no_grad()
    def test_from_a_file(self, tmp_path):
        theirs = timm.create_model("vit_tiny_patch16_224").eval()
        torch.save(theirs.state_dict(), tmp_path / "tiny.bin")
        ours = load_pretrained("vit_tiny_patch16_224", tmp_path / "tiny.bin")
        images = torch.randn(1, 3, 224, 224, generator=seeded())
        torch.testing.assert_close(ours(images), theirs(images), atol=1e-5, rtol=0)

    def test_without_a_network(self, monkeypatch):
        def unreachable(url, **options):
            raise URLError("no route to host")

        monkeypatch.setattr(torch.hub, "load_state_dict_from_url", unreachable)
        with pytest.raises(OSError) as error:
            load_pretrained("vit_small_patch32_224")
        text = str(error.value)
        assert (
            "vit_small_patch32_224" in text and "no route to host" in text and "pass weights=<file>" in text
        )
        assert "\n" not in text

    def test_files_that_do_not_fit(self, tmp_path):
        file = tmp_path / "weights.bin"
        with pytest.raises(OSError, match=r"cannot read .*weights\.bin"):
            load_pretrained("vit_tiny_patch16_224", file)
        file.write_bytes(b"not a checkpoint")
        with pytest.raises(OSError, match=r"cannot read .*weights\.bin"):
            load_pretrained("vit_tiny_patch16_224", file)
        torch.save(VisionTransformer(**SIZES).state_dict(), file)
        with pytest.raises(
            ValueError, match=r"weights: .*weights.bin does not hold the parameters of vit_tiny"
        ):
            load_pretrained("vit_tiny_patch16_224", file)

    def test_an_unknown_name(self):
        with pytest.raises(
            ValueError, match=r"name = 'vit_small_patch_32': .*nearest: vit_small_patch32_224"
        ):
            load_pretrained("vit_small_patch_32")


class TestConvNet:
    @pytest.mark.parametrize(("size", "channels"), [(8, 1), (32, 3), (30, 3)])
    def test_shapes(self, size, channels):
        assert SmallConvNet(7, 8, channels)(torch.zeros(2, channels, size, size)).shape == (2, 7)

    def test_an_image_alone_and_in_a_batch(self):
        model, images = SmallConvNet(5, 8, generator=seeded()).double(), random_images(size=16)
        torch.testing.assert_close(model(images)[:1], model(images[:1]))

    def test_the_place_of_a_patch_matters(self):
        model, images = SmallConvNet(5, 8, generator=seeded()).double(), random_images(size=16)
        permuted = permute_patches(images, torch.randperm(16, generator=seeded()), 4)
        assert (model(images) - model(permuted)).abs().max() > 1e-2

    def test_the_generator_decides(self):
        one, same, other = (SmallConvNet(5, 8, generator=seeded(s)).state_dict() for s in (0, 0, 1))
        assert all(torch.equal(one[name], same[name]) for name in one)
        assert not torch.equal(one["0.0.0.weight"], other["0.0.0.weight"])

    def test_width(self):
        with pytest.raises(ValueError, match="width = 20: a multiple of 8 is needed; the nearest: 16"):
            SmallConvNet(5, 20)


def test_import_needs_neither_timm_nor_torchvision():
    modules = "src.vision.vit, src.vision.probes, src.vision.convnet"
    code = f"import sys, {modules}; print(set(sys.modules).intersection(['timm', 'torchvision']))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
