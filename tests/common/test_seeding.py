import torch

from src.common.seeding import child_generator


def draw(*arguments) -> list[float]:
    return torch.rand(3, generator=child_generator(*arguments)).tolist()


def test_same_name_same_stream_and_other_names_or_seeds_others():
    assert draw(0, "train", 1) == draw(0, "train", 1)
    streams = [
        draw(0, "train", 1),
        draw(0, "train", 2),
        draw(0, "test", 1),
        draw(1, "train", 1),
        draw(0, "train"),
    ]
    assert len({tuple(stream) for stream in streams}) == len(streams)


def test_streams_do_not_touch_the_global_one():
    before = torch.random.get_rng_state()
    draw(0, "anything")
    assert torch.equal(before, torch.random.get_rng_state())
